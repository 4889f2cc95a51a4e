#!/bin/bash
# Builds the C library and the C examples:
#   build-c.sh                  target/c/{lib,include} and target/examples/c/*
#   build-c.sh install PREFIX   the library, its header and grpclb.pc under PREFIX (DESTDIR is heeded)
# The archive and the shared library are a build of their own (`cargo rustc --crate-type`): named in Cargo.toml,
# they would be linked anew with every build of any example.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n1)
major=${version%%.*}
system="-lpthread -ldl -lm"
[ "$(uname -s)" = Darwin ] && system="-framework Security -framework CoreFoundation -liconv -lSystem"

soname=()
[ "$(uname -s)" = Linux ] && soname=(-C "link-arg=-Wl,-soname,libgrpclb.so.$major")
cargo rustc -p grpclb --lib --release --features capi --crate-type staticlib,cdylib -- ${soname[@]+"${soname[@]}"}

lay_out() { # PREFIX NAMED: files under PREFIX, which programs will know as NAMED
    mkdir -p "$1/lib/pkgconfig" "$1/include"
    cp ffi/include/grpclb.h "$1/include/"
    cp "$target/release/libgrpclb.a" "$1/lib/"
    if [ "$(uname -s)" = Darwin ]; then
        cp "$target/release/libgrpclb.dylib" "$1/lib/"
    else
        cp "$target/release/libgrpclb.so" "$1/lib/libgrpclb.so.$version"
        ln -sf "libgrpclb.so.$version" "$1/lib/libgrpclb.so.$major"
        ln -sf "libgrpclb.so.$major" "$1/lib/libgrpclb.so"
    fi
    cat >"$1/lib/pkgconfig/grpclb.pc" <<PC
prefix=$2
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: grpclb
Description: gRPC channels with client-side load balancing
Version: $version
Libs: -L\${libdir} -lgrpclb
Libs.private: $system
Cflags: -I\${includedir}
PC
}

if [ "${1:-}" = install ]; then
    prefix=${2:?install needs a PREFIX}
    lay_out "${DESTDIR:-}$prefix" "$prefix"
    echo "installed under ${DESTDIR:-}$prefix"
    exit
fi
lay_out "$target/c" "$(cd "$target" && pwd)/c"
mkdir -p "$target/examples/c"
for source in ffi/examples/c/*.c; do
    ${CC:-cc} -std=c11 -O2 -g -Wall -Wextra -Wpedantic -Werror -Iffi/include "$source" \
        "$target/c/lib/libgrpclb.a" $system -o "$target/examples/c/$(basename "$source" .c)"
done
