#!/bin/bash
# Style of wasm/'s Rust, which is a workspace of its own; and each scenario through the package's picker.
set -eu
cd "$(dirname "$0")/.."
export PATH="$PATH:$HOME/.cargo/bin"
cargo fmt --manifest-path wasm/Cargo.toml -p grpclb-wasm -p grpclb-wasm-packaging --check
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/wasm/build" cargo clippy --quiet --manifest-path wasm/Cargo.toml \
    -p grpclb-wasm --target wasm32-unknown-unknown -- -D warnings

node=$(.ci/setup-node.sh)
passed=0 failed=0
for scenario in core/tests/scenarios/*.json; do
    if "$node" wasm/examples/scenario.mjs "$scenario" | diff "${scenario%.json}.txt" - >&2; then
        passed=$((passed + 1))
    else
        echo "FAIL  $scenario"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
