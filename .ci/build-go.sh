#!/bin/bash
# Builds the Go examples into target/examples/go; needs the C library (.ci/build-c.sh). Prints nothing.
set -eu
cd "$(dirname "$0")/.." && . .ci/lib.sh && . .ci/go-env.sh
mkdir -p target/examples/go
(cd ffi/go && "$go" build -o ../../target/examples/go/ ./...)
