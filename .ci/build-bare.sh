#!/bin/bash
# Builds the C library for a machine without an operating system: the connection alone, no heap, no threads.
#   build-bare.sh [TARGET [LEVEL]]    target/bare/TARGET/libgrpclb.a and grpclb.h; default thumbv7em-none-eabi, "s"
# Its profile, `firmware`, has panic = "abort"; the other profiles unwind, as the doors with an operating system need.
# Programs define GRPCLB_BARE_METAL before they include grpclb.h.
set -eu
cd "$(dirname "$0")/.."
triple=${1:-thumbv7em-none-eabi} level=${2:-'"s"'}
target=${CARGO_TARGET_DIR:-target}
cargo rustc -q -p grpclb --lib --no-default-features --features capi --crate-type staticlib \
    --target "$triple" --profile firmware --config "profile.firmware.opt-level=$level"
mkdir -p "$target/bare/$triple"
cp "$target/$triple/firmware/libgrpclb.a" ffi/include/grpclb.h "$target/bare/$triple/"
