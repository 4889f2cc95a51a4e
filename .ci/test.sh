#!/bin/bash
# make test: nothing goes without Rust, and the driver is Python.
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
.ci/setup-rust.sh || exit
command -v python3 >/dev/null || system python3 python3-venv
exec python3 .ci/test.py "$@"
