#!/bin/bash
# A nightly Rust, which has the sanitizers.
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
PATH="$PATH:$HOME/.cargo/bin"
.ci/setup-rust.sh || exit
rustup run nightly rustc --version >/dev/null 2>&1 && exit
say "rustup toolchain install nightly"
rustup toolchain install nightly --profile minimal --no-self-update >&2 ||
    missing "a nightly Rust (the sanitizers' hooks need it)" "rustup toolchain install nightly"
