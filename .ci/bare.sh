#!/bin/bash
# The C library without an operating system: a C program for a Cortex-M4 is linked with it, looked at, and run in QEMU.
# Needs .ci/setup-rust.sh thumbv6m-none-eabi thumbv7em-none-eabi and .ci/setup-arm.sh.
set -u
cd "$(dirname "$0")/.." || exit 1
target=${CARGO_TARGET_DIR:-target}
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
archive=$target/bare/thumbv7em-none-eabi/libgrpclb.a

link() { # OUTPUT FLAGS…
    arm-none-eabi-gcc -std=c11 -Os -g -Wall -Wextra -Wpedantic -Werror -ffreestanding -ffunction-sections \
        -mcpu=cortex-m4 -mthumb -mfloat-abi=soft -Iffi/include -nostdlib -Wl,--gc-sections,-z,noexecstack,--fatal-warnings \
        -Tffi/tests/c/bare/bare.ld ffi/tests/c/bare/main.c "$archive" -o "$1" "${@:2}"
}
declared() { # what the header promises to such a program
    echo '#include "grpclb.h"' | arm-none-eabi-gcc -E -P -DGRPCLB_BARE_METAL -Iffi/include - |
        grep -oE '\bgrpclb_[a-z_]+\(' | tr -d '(' | sort
}
exported() { arm-none-eabi-nm "$archive" 2>/dev/null | sed -n 's/^.* T \(grpclb_[a-z_]*\)$/\1/p' | sort; }
same_functions() { diff <(declared) <(exported) && [ "$(exported | wc -l)" -gt 20 ]; }
nothing_foreign() { # neither a heap nor a panic nor unwinding, in any function of the library
    ! arm-none-eabi-nm "$archive" 2>/dev/null | grep -E '__rust_alloc|__rg_|malloc|panicking|rust_begin_unwind|_Unwind_'
}
whole() { # a program that keeps every function
    link "$target/bare/whole.elf" $(exported | sed 's/^/-Wl,-u,/') && python3 .ci/elf.py "$target/bare/whole.elf"
}
runs() {
    timeout 60 qemu-system-arm -M mps2-an386 -nographic -semihosting-config enable=on,target=native \
        -kernel "$target/bare/program.elf" </dev/null
}

check "the archive builds for thumbv6m-none-eabi" .ci/build-bare.sh thumbv6m-none-eabi
for level in 3 '"s"'; do
    name=${level//\"/}
    check "the archive builds at opt-level $name" .ci/build-bare.sh thumbv7em-none-eabi "$level"
    check "it has the functions that the header declares, at $name" same_functions
    check "no allocator, no panic, no unwinding in it, at $name" nothing_foreign
    check "a C program links with it, at $name" link "$target/bare/program.elf"
    check "it runs on an emulated Cortex-M4, at $name" runs
    check "all functions together: sizes, no panic in reach, at $name" whole
done
echo "note    $(arm-none-eabi-size "$target/bare/program.elf" | awk 'NR == 2 { print $1 " octets of flash, " $3 " of RAM: client and server of four calls" }')"

# The other profiles must unwind, or no panic could be held back at the boundary.
unwinds() { cargo rustc -q -p grpclb --lib --features capi --profile "$1" -- --print cfg | grep -q 'panic="unwind"'; }
check "profile dev unwinds" unwinds dev
check "profile release unwinds" unwinds release

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
