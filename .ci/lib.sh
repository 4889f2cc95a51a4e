# Shared by the set-up scripts. Each of them prints progress on standard error and, when others
# need to know a place, that place on standard output. Exit code 3: something is missing that may
# not be installed here; the last line on standard error says what adds it.

cache="$HOME/.cache/libgrpclb"
say() { echo "setup: $*" >&2; }
missing() { # WHAT COMMAND
    echo "missing: $1; add it with: $2" >&2
    exit 3
}
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# system PACKAGE…: from the system's packages, only on a machine that is there for tests.
system() {
    if [ "${CI:-}" = true ] && command -v apt-get >/dev/null; then
        say "apt-get install $*"
        export DEBIAN_FRONTEND=noninteractive
        { as_root apt-get -qq update && as_root apt-get -qq install -y --no-install-recommends "$@"; } >/dev/null && return
    fi
    missing "$*" "sudo apt-get install $* (or your system's package of that name)"
}
