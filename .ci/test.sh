#!/bin/bash
# make test: the driver is Python, so Python comes first.
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
command -v python3 >/dev/null || system python3 python3-venv
exec python3 .ci/test.py "$@"
