#!/bin/bash
# The C tests with AddressSanitizer and debug assertions in the Rust part, too (.ci/c.sh has them in the C part alone).
# Rust's standard library is not instrumented. Needs .ci/setup-nightly.sh and the example interop_server.
set -u
cd "$(dirname "$0")/.." || exit 1
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
export PATH="$PATH:$HOME/.cargo/bin"
passed=0 failed=0
check() { # NAME COMMAND…
    local name=$1
    shift
    if timeout 120 "$@" >"$target/asan/log" 2>&1; then
        passed=$((passed + 1)) && echo "ok    $name"
    else
        failed=$((failed + 1)) && echo "FAIL  $name" && cat "$target/asan/log"
    fi
}
triple=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-Zsanitizer=address -Cdebug-assertions=on" cargo +nightly rustc -p grpclb --lib --features capi \
    --crate-type staticlib --target "$triple" --target-dir "$target/asan" --config profile.dev.opt-level=1 || exit 1
lib="$target/asan/$triple/debug/libgrpclb.a -lpthread -ldl -lm"
build="gcc -std=c11 -g -fsanitize=address -Iffi/include"

# The octets that Rust writes beyond what C lends are seen.
cat >"$target/asan/lie.c" <<'C'
#include <grpclb.h>
#include <stdlib.h>
int main(void) {
    grpclb_conn_event *events = malloc(sizeof *events - 8);
    grpclb_conn *conn = grpclb_conn_new(NULL, 0);
    const uint8_t settings[] = {0, 0, 0, 4, 0, 0, 0, 0, 0};
    return grpclb_conn_recv_batch(conn, 0, settings, sizeof settings, events, 1).count != 1;
}
C
check "a lie compiles" $build "$target/asan/lie.c" -o "$target/asan/lie" $lib
lie() {
    ! "$target/asan/lie" 2>"$target/asan/lie.log" && grep -q heap-buffer-overflow "$target/asan/lie.log" &&
        grep -q src/capi/ "$target/asan/lie.log"
}
export -f lie && export target
check "and is found out, in Rust" bash -c lie

"$target/release/examples/interop_server" --port 0 >"$target/asan/server.log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null' EXIT
for _ in $(seq 100); do grep -q '^listening on' "$target/asan/server.log" && break || sleep 0.05; done
address=127.0.0.1:$(sed -n 's/^listening on .*://p' "$target/asan/server.log")
for test in nonsense calls conn conn_nonsense picker; do
    check "$test.c compiles" $build ffi/tests/c/$test.c -o "$target/asan/$test" $lib
    check "$test" "$target/asan/$test" $([ $test = calls ] && echo "$address")
done

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
