#!/bin/bash
# Style of wasm/'s Rust, which is a workspace of its own.
set -eu
cd "$(dirname "$0")/.."
export PATH="$PATH:$HOME/.cargo/bin" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/wasm/build"
cargo fmt --manifest-path wasm/Cargo.toml -p grpclb-wasm -p grpclb-wasm-packaging --check
cargo clippy --quiet --manifest-path wasm/Cargo.toml -p grpclb-wasm --target wasm32-unknown-unknown -- -D warnings
