#!/bin/bash
# Each fuzz target for a while: .ci/fuzz.sh [SECONDS [TARGET…]], or SECONDS_EACH. New inputs are kept in
# fuzz/corpus/TARGET/generated, what fails in fuzz/artifacts/TARGET. The last line is "N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
PATH="$PATH:$HOME/.cargo/bin"
seconds=${1:-${SECONDS_EACH:-30}}
case "$seconds" in '' | *[!0-9]*) echo "usage: .ci/fuzz.sh [SECONDS [TARGET…]]" >&2; exit 2 ;; esac
shift
version=0.13.2

.ci/setup-nightly.sh || exit
command -v c++ >/dev/null || system g++
fuzz=$(command -v cargo-fuzz || echo "$cache/cargo-fuzz/bin/cargo-fuzz")
if [ ! -x "$fuzz" ]; then
    say "cargo install cargo-fuzz"
    cargo install --quiet --locked cargo-fuzz --version "$version" --root "$cache/cargo-fuzz" >&2 ||
        missing cargo-fuzz "cargo install cargo-fuzz"
fi
# As cargo runs it.
run() { rustup run nightly "$fuzz" fuzz "$@"; }

targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(sed -n '/^\[\[bin\]\]/{n;s/name = "\(.*\)"/\1/p}' fuzz/Cargo.toml)
logs="${CARGO_TARGET_DIR:-target}/test-logs"
mkdir -p "$logs"
run build >"$logs/fuzz-build.log" 2>&1 || { tail -20 "$logs/fuzz-build.log"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }

passed=0 failed=0
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target/generated"
    log="$logs/fuzz-$target.log"
    if run run "$target" "fuzz/corpus/$target/generated" "fuzz/corpus/$target/seeds" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 >"$log" 2>&1; then
        passed=$((passed + 1))
        echo "$target: $(sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\).*/\1 runs in \2 s/p' "$log")"
    else
        failed=$((failed + 1))
        echo "$target: FAILED"
        grep -E 'panicked at|assertion|left:|right:|ERROR:|Reproduce|cargo fuzz run' -A1 "$log" | head -20
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
