#!/bin/bash
# The Go door: gofmt, vet, tests under the race detector and under cgo's strict pointer checks, the generated stubs, the
# README's Go in a module outside the tree, and what a build without cgo says. Needs .ci/build-c.sh.
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh && . .ci/go-env.sh || exit 1
top=$PWD
work=$(mktemp -d)
servers=()
trap '[ ! -d "$top/target/c.away" ] || mv "$top/target/c.away" "$top/target/c"; kill ${servers[@]+"${servers[@]}"} 2>/dev/null; chmod -R u+w "$work"; rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0
check() { # NAME COMMAND…
    local name=$1
    shift
    if timeout 400 "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1)) && echo "ok    $name"
    else
        failed=$((failed + 1)) && echo "FAIL  $name" && cat "$work/log"
    fi
}
tests() { # NAME COMMAND…: `go test -json`, each of its tests counts
    local name=$1
    shift
    timeout 500 "$@" -json >"$work/json" 2>"$work/log"
    local code=$? good bad
    good=$(grep -c '"Action":"pass".*"Test":' "$work/json")
    bad=$(grep -c '"Action":"fail".*"Test":' "$work/json")
    [ $code = 0 ] || [ "$bad" != 0 ] || bad=1
    [ "$good" != 0 ] || bad=$((bad + 1))
    passed=$((passed + good)) failed=$((failed + bad))
    if [ "$bad" = 0 ]; then
        echo "ok    $name: $good tests"
    else
        echo "FAIL  $name"
        cat "$work/log"
        sed -n 's/.*"Output":"\(.*\)\\n"}$/\1/p' "$work/json" | grep -v '^=== \|^--- PASS' | tail -n 100
    fi
}
cd ffi/go || exit 1
check "gofmt" bash -c "! '$("$go" env GOROOT)/bin/gofmt' -l . | grep ."
check "go.mod is tidy" bash -c "'$go' mod tidy -diff && cd tests/interop && '$go' mod tidy -diff"
check "go vet" "$go" vet ./...
check "the stubs are the generated ones" "$top/.ci/go-stubs.sh" --check
tests "tests under the race detector" "$go" test -race -count=1 ./...
tests "tests under cgo's strict pointer checks" env GOEXPERIMENT=cgocheck2 "$go" test -count=1 .

# Without cgo the build fails, in words.
check "a clear error without cgo" bash -c "cd '$top/ffi/go' && ! CGO_ENABLED=0 '$go' build . 2>'$work/out' && grep -q grpclb_needs_cgo '$work/out'"

# And without the library: what to do about it.
mv "$top/target/c" "$top/target/c.away"
check "a clear error without the library" bash -c "! CGO_CFLAGS=-DGRPCLB_NONE=$$ '$go' build . 2>'$work/out' && grep -q 'make go' '$work/out'"
mv "$top/target/c.away" "$top/target/c"

if command -v pkg-config >/dev/null; then
    "$top/.ci/build-c.sh" install "$work/prefix" >"$work/log" 2>&1
    export PKG_CONFIG_PATH="$work/prefix/lib/pkgconfig" LD_LIBRARY_PATH="$work/prefix/lib"
    # Go's build cache keeps what pkg-config said for as long as the flags are the same.
    tests "tests with the installed library" env CGO_CFLAGS="$CGO_CFLAGS -DGRPCLB_PREFIX=${work##*.}" "$go" test -tags grpclb_installed -count=1 -run 'TestUnary|Example' .
    unset PKG_CONFIG_PATH LD_LIBRARY_PATH
else
    skipped=$((skipped + 1)) && echo "SKIP  the installed library: pkg-config is not there"
fi

serve() { # PROGRAM FLAGS…: starts a server, its address in $address
    : >"$work/$1"
    "$top/target/release/examples/$1" "${@:2}" >"$work/$1" 2>&1 &
    servers+=($!)
    for _ in $(seq 100); do
        address=$(sed -n 's/^listening on //p' "$work/$1")
        [ -n "$address" ] && break
        sleep 0.05
    done
    address=127.0.0.1:${address##*:}
}
serve interop_server --port 0
cd tests/interop || exit 1
tests "grpc-go's interop cases, before its server and ours" env GRPCLB_INTEROP="$address" "$go" test -count=1 .
cd ../..

# The README's Go, in a module of its own, with the README's lines.
serve greeter_server --listen 127.0.0.1:0
mkdir "$work/greet"
awk '/^```go$/ { on = 1; next } /^```/ { on = 0 } on' "$top/README.md" | sed "s/127\.0\.0\.1:50051/$address/" >"$work/greet/main.go"
commands=$(sed -n 's/^\$ \(go mod init greet.*\)$/\1/p' "$top/README.md" | sed "s#\.\./libgrpclb#$top#; s#\bgo mod\b#'$go' mod#g; s#\bgo run\b#'$go' run#")
check "the README's Go" bash -c "cd '$work/greet' && cp '$top/ffi/go/go.sum' . && $commands >out && grep -q 'world from $address' out"

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
