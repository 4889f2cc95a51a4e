#!/bin/bash
# A virtual environment with the Python peers (.ci/requirements.txt); prints its interpreter.
#   setup-python.sh           the peers alone
#   setup-python.sh package   and what builds and checks our own package (.ci/requirements-python.txt)
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
command -v python3 >/dev/null || system python3 python3-venv
lists=(.ci/requirements.txt)
[ "${1:-}" = package ] && lists+=(.ci/requirements-python.txt)
tag=$(cat "${lists[@]}" | python3 -c 'import hashlib, sys; print("%d.%d-%s" % (*sys.version_info[:2], hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:12]))')
venv="$cache/venv-$tag"
if [ ! -e "$venv/.ready" ]; then
    python3 -c 'import ensurepip' 2>/dev/null || system python3-venv
    say "Python packages into $venv"
    rm -rf "$venv" && mkdir -p "$cache" && python3 -m venv "$venv" >&2 &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${lists[@]/#/--requirement=}" >&2 &&
        touch "$venv/.ready" || missing "Python packages of ${lists[*]}" "pip install ${lists[*]/#/-r }"
fi
echo "$venv/bin/python"
