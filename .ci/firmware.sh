#!/bin/bash
# core without std: builds for bare targets, links a firmware for a Cortex-M4, and looks at what was linked.
# `make test` has set up the targets; by hand: .ci/setup-rust.sh thumbv6m-none-eabi thumbv7em-none-eabi wasm32-unknown-unknown
set -u
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0
check() { # NAME COMMAND…
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1)) && echo "ok      $name"
    else
        failed=$((failed + 1)) && echo "FAILED  $name"
    fi
}

for target in thumbv6m-none-eabi thumbv7em-none-eabi wasm32-unknown-unknown; do
    check "core builds for $target" cargo build -q -p grpclb-core --target "$target" --profile firmware
done

# LEVEL: links the example and leaves it as target/firmware-LEVEL.elf.
link() {
    cargo rustc -q -p grpclb-core --example firmware --target thumbv7em-none-eabi --profile firmware \
        --config "profile.firmware.opt-level=$1" -- \
        -C link-arg=-Tlink.x -C link-arg=-Lcore/examples/firmware &&
        cp target/thumbv7em-none-eabi/firmware/examples/firmware "target/firmware-$2.elf"
}
for level in '"s"' 3; do
    name=${level//\"/}
    check "the firmware links at opt-level $name" link "$level" "$name"
    check "storage in .bss, no panic in reach, at opt-level $name" python3 .ci/elf.py "target/firmware-$name.elf"
done

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
