#!/bin/bash
# Builds the Python wheel: target/wheels/libgrpclb-….whl, and target/python, where it lies unpacked for the tests.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
python=$(.ci/setup-python.sh package)
rm -rf "$target/wheels" "$target/python"
"$python" -m maturin build --quiet --release --manifest-path python/rust/Cargo.toml --out "$target/wheels" --interpreter "$python"
wheel=$(echo "$target"/wheels/*.whl)
"$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --target "$target/python" "$wheel"
echo "built $wheel; install it with: pip install $wheel"
