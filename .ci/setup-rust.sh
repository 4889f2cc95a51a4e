#!/bin/bash
# The pinned Rust toolchain (rust-toolchain.toml), and with arguments its targets:
#   setup-rust.sh [TARGET…]
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
PATH="$PATH:$HOME/.cargo/bin"
command -v cargo >/dev/null || missing Rust "curl -sSf https://sh.rustup.rs | sh"
command -v cc >/dev/null || system gcc libc6-dev
version=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)

if ! command -v rustup >/dev/null; then
    # A Rust without rustup: good enough for this machine, if it is new enough.
    have=$(cargo --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "$version" "$have" | sort -V | head -n1)" = "$version" ] ||
        missing "Rust $version (found $have)" "curl -sSf https://sh.rustup.rs | sh"
    for target in "$@"; do
        [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] ||
            missing "the standard library for $target" "rustup target add $target (install rustup first)"
    done
    exit 0
fi

# Asked of the file system: rustup itself would want to go on line.
sysroot=$(rustup run "$version" rustc --print sysroot 2>/dev/null)
if ! { [ -n "$sysroot" ] && [ -x "$sysroot/bin/cargo-clippy" ] && [ -x "$sysroot/bin/rustfmt" ]; }; then
    say "rustup toolchain install $version"
    rustup toolchain install "$version" --profile minimal --no-self-update --component rustfmt --component clippy >&2 ||
        missing "Rust $version" "rustup toolchain install $version -c rustfmt -c clippy"
    sysroot=$(rustup run "$version" rustc --print sysroot)
fi

# Not by `toolchain install --target`: that takes the compiler away and brings it again, under builds that run.
absent=()
for target in "$@"; do [ -d "$sysroot/lib/rustlib/$target/lib" ] || absent+=("$target"); done
[ ${#absent[@]} = 0 ] && exit 0
say "rustup target add ${absent[*]}"
rustup target add --toolchain "$version" "${absent[@]}" >&2 ||
    missing "the standard library for ${absent[*]}" "rustup target add --toolchain $version ${absent[*]}"
