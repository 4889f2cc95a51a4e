#!/bin/bash
# Generates ffi/go/examples/helloworld from ffi/tests/peers/helloworld.proto (--check: compares with what is committed).
set -eu
cd "$(dirname "$0")/.." && . .ci/lib.sh
python=$(.ci/setup-python.sh)
go=$(.ci/setup-go.sh --toolchain)
bin="$cache/go-stubs-1.36.12-1.6.2" # protoc-gen-go, protoc-gen-go-grpc
if [ ! -x "$bin/protoc-gen-go-grpc" ]; then
    say "protoc-gen-go and protoc-gen-go-grpc into $bin"
    GOBIN="$bin" "$go" install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12 >&2
    GOBIN="$bin" "$go" install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2 >&2
fi
out=ffi/go/examples/helloworld
[ "${1:-}" = --check ] && out=$(mktemp -d) && trap 'rm -rf "$out"' EXIT
PATH="$bin:$PATH" "$python" -m grpc_tools.protoc -Iffi/tests/peers --go_out="$out" --go-grpc_out="$out" \
    --go_opt=paths=source_relative,Mhelloworld.proto=grpclb/examples/helloworld \
    --go-grpc_opt=paths=source_relative,Mhelloworld.proto=grpclb/examples/helloworld ffi/tests/peers/helloworld.proto
[ "${1:-}" != --check ] || diff -r "$out" ffi/go/examples/helloworld
