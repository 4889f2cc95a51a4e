#!/bin/bash
# Two of C's connections under Miri: whether the lent memory is used as Rust's rules of aliasing allow.
set -eu
cd "$(dirname "$0")/.." && . .ci/lib.sh
export PATH="$PATH:$HOME/.cargo/bin"
cargo +nightly miri --version >/dev/null 2>&1 ||
    rustup component add miri rust-src --toolchain nightly >&2 ||
    missing Miri "rustup component add miri rust-src --toolchain nightly"
cargo +nightly miri test -p grpclb --features capi --lib --target-dir "${CARGO_TARGET_DIR:-target}/miri" capi::tests::two
