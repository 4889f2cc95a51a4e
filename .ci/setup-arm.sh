#!/bin/bash
# A C compiler for Cortex-M, and an emulator of one.
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
command -v arm-none-eabi-gcc >/dev/null && command -v qemu-system-arm >/dev/null ||
    system gcc-arm-none-eabi qemu-system-arm
