#!/bin/bash
# callgrind, which counts instructions.
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
command -v valgrind >/dev/null || system valgrind
