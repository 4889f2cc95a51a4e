#!/bin/bash
# Builds the npm package: target/wasm/pkg, and target/wasm/grpclb-VERSION.tgz as npm would publish it.
#
# cargo, then wasm-bindgen (as a library in wasm/packaging, so that one Cargo.lock keeps both versions equal), then
# wasm-opt, then the module as base64. The sizes of all of it are printed, and held against wasm/packaging/budget.json.
set -eu
cd "$(dirname "$0")/.."
.ci/setup-rust.sh wasm32-unknown-unknown
export PATH="$PATH:$HOME/.cargo/bin"
node=$(.ci/setup-node.sh)
packages=$(.ci/setup-wasm.sh)
export PATH="$(dirname "$node"):$PATH" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/wasm/build"
out=${CARGO_TARGET_DIR%/build}

cargo build --manifest-path wasm/Cargo.toml -p grpclb-wasm --target wasm32-unknown-unknown --profile web
cargo run --release --manifest-path wasm/Cargo.toml -p grpclb-wasm-packaging -- \
    "$CARGO_TARGET_DIR/wasm32-unknown-unknown/web/grpclb_wasm.wasm" "$out/bindgen"
# What browsers had by 2022; no SIMD, so that one module serves all.
"$packages/.bin/wasm-opt" -Oz --mvp-features --enable-bulk-memory --enable-bulk-memory-opt \
    --enable-nontrapping-float-to-int --enable-sign-ext --enable-mutable-globals --enable-reference-types \
    --enable-multivalue --strip-producers --strip-target-features \
    "$out/bindgen/grpclb_bg.wasm" -o "$out/bindgen/grpclb.wasm"
node wasm/packaging/package.mjs "$out" "$packages"
