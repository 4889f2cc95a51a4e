#!/bin/bash
# The C door: the header, the tests of ffi/tests/c in C11 and C++17, plain, under AddressSanitizer and valgrind,
# the example, the README's C, and a program outside the tree that finds the library by pkg-config.
# Needs `.ci/build-c.sh` and `cargo build --release -p grpclb --examples`.
set -u
cd "$(dirname "$0")/.." || exit 1
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
work=$(mktemp -d)
servers=()
trap 'kill ${servers[@]+"${servers[@]}"} 2>/dev/null; rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0
check() { # NAME COMMAND…
    local name=$1
    shift
    if timeout 120 "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1)) && echo "ok    $name"
    else
        failed=$((failed + 1)) && echo "FAIL  $name" && cat "$work/log"
    fi
}
skip() { skipped=$((skipped + 1)) && echo "SKIP  $1"; }
lib="$target/c/lib/libgrpclb.a -lpthread -ldl -lm"
strict="-g -Wall -Wextra -Wpedantic -Werror -I$target/c/include"
# Not "possible": the stack of a background thread that is just ending when main returns is counted there.
clean="valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect"

serve() { # PROGRAM FLAGS…: starts a server, its address in $address
    : >"$work/$1.log"
    "$target/release/examples/$1" "${@:2}" >"$work/$1.log" 2>&1 &
    servers+=($!)
    for _ in $(seq 100); do
        address=$(sed -n 's/^listening on //p' "$work/$1.log")
        [ -n "$address" ] && break
        sleep 0.05
    done
    address=127.0.0.1:${address##*:}
}
serve interop_server --port 0 && interop=$address
serve greeter_server --listen 127.0.0.1:0 && greeter=$address

for test in nonsense calls conn conn_nonsense picker; do
    argument=$([ $test = calls ] && echo "$interop")
    check "$test.c compiles as C11" gcc -std=c11 $strict ffi/tests/c/$test.c $lib -o "$work/$test"
    check "$test.c compiles as C++17" g++ -std=c++17 $strict -x c++ ffi/tests/c/$test.c -x none $lib -o "$work/$test++"
    check "$test.c compiles with AddressSanitizer" \
        gcc -std=c11 -fsanitize=address,undefined $strict ffi/tests/c/$test.c $lib -o "$work/$test-asan"
    check "$test" "$work/$test" $argument
    check "$test in C++" "$work/$test++" $argument
    check "$test under AddressSanitizer" "$work/$test-asan" $argument
    check "$test under valgrind" $clean "$work/$test" $argument
done

# What a call costs: allocations, and instructions of the connection without sockets.
for test in allocations conn_cost; do
    check "$test.c compiles" gcc -std=c11 -O2 $strict ffi/tests/c/$test.c $lib -o "$work/$test"
done
check "allocations a call" "$work/allocations" "$greeter"
grep '^note' "$work/log"
instructions() { # CALLS: of a whole run
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$work/conn_cost" "$1" 2>&1 | sed -n 's/.*Collected : //p'
}
cost() { # with the two runs' difference, what is done once cancels out
    local few many
    few=$(instructions 1000) many=$(instructions 3000)
    echo "note  instructions a call of grpclb_conn_unary, _take and _recv_batch: $(((many - few) / 2000))"
    [ $(((many - few) / 2000)) -gt 1000 ] && [ $(((many - few) / 2000)) -lt 12000 ]
}
export -f cost instructions && export work
check "instructions a call" bash -c cost
grep '^note' "$work/log"

example="--target ipv4:$greeter --calls 200 --concurrency 4 --wait-ready 1 --json"
check "greeter_client compiles with AddressSanitizer" \
    gcc -std=c11 -fsanitize=address,undefined $strict ffi/examples/c/greeter_client.c $lib -o "$work/greeter-asan"
check "greeter_client under AddressSanitizer" "$work/greeter-asan" $example
check "greeter_client under valgrind" $clean "$target/examples/c/greeter_client" $example

check "sans_io_client compiles with AddressSanitizer" \
    gcc -std=c11 -fsanitize=address,undefined $strict ffi/examples/c/sans_io_client.c $lib -o "$work/sans_io-asan"
sans_io() { # COMMAND…: greets two over a real socket, and then nobody is there
    "$@" "$greeter" one two >"$work/greeted" &&
        [ "$(grep -cE "^Hello (one|two) from $greeter\$" "$work/greeted")" = 2 ] && ! "$@" 127.0.0.1:1 one
}
export -f sans_io && export work greeter
check "sans_io_client under AddressSanitizer" bash -c "sans_io $work/sans_io-asan"
check "sans_io_client under valgrind" bash -c "sans_io $clean $target/examples/c/sans_io_client"

scenarios() { # COMMAND NAME…: what the command prints of each is what is expected
    local name wrong=0
    for name in "${@:2}"; do
        $1 "core/tests/scenarios/$name.json" >"$work/printed" &&
            cmp "$work/printed" "core/tests/scenarios/$name.txt" || wrong=1
    done
    return $wrong
}
export -f scenarios
names=$(cd core/tests/scenarios && ls ./*.json | sed 's/\.json//')
check "scenario compiles with AddressSanitizer" \
    gcc -std=c11 -fsanitize=address,undefined $strict ffi/examples/c/scenario.c $lib -o "$work/scenario-asan"
check "scenarios under AddressSanitizer" bash -c 'scenarios "$@"' - "$work/scenario-asan" $names
check "scenarios under valgrind" bash -c 'scenarios "$@"' - "$clean $target/examples/c/scenario" \
    endpoints_come_and_go bad_service_config

# The README's C, with the README's line.
mkdir "$work/readme"
awk '/^```c$/ { on = 1; next } /^```/ { on = 0 } on' README.md | sed "s/127\.0\.0\.1:50051/$greeter/" >"$work/readme/greet.c"
link=$(sed -n 's/^\$ cc greet\.c /greet.c /p' README.md)
readme() { cd "$work/readme" && ln -s "$target" target && gcc $link && ./greet >out && grep -q "OK from $greeter" out; }
export -f readme && export work target link greeter
check "the README's C" bash -c readme

if command -v pkg-config >/dev/null; then
    check "install" .ci/build-c.sh install "$work/prefix"
    mkdir "$work/outside" && cp ffi/examples/c/greeter_client.c "$work/outside/"
    export PKG_CONFIG_PATH="$work/prefix/lib/pkgconfig" LD_LIBRARY_PATH="$work/prefix/lib"
    outside() {
        cd "$work/outside" && gcc -std=c11 greeter_client.c $(pkg-config --cflags --libs grpclb) -lpthread -o shared &&
            readelf -d shared | grep -q 'libgrpclb\.so\.[0-9]' && ./shared --target "ipv4:$greeter"
    }
    export -f outside
    check "a program outside the tree, by pkg-config" bash -c outside
else
    skip "pkg-config is not there"
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
