#!/bin/bash
# The npm packages that build and test wasm/ (wasm/package-lock.json), kept; prints their node_modules.
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
node=$(.ci/setup-node.sh) || exit
PATH="$(dirname "$node"):$PATH"
kept="$cache/wasm-$(sha256sum wasm/package-lock.json | cut -c1-12)"
if [ ! -e "$kept/.ready" ]; then
    say "npm packages of wasm into $kept"
    rm -rf "$kept" && mkdir -p "$kept" && cp wasm/{package.json,package-lock.json,.npmrc} "$kept" &&
        (cd "$kept" && npm ci --no-audit --no-fund --ignore-scripts >&2) && touch "$kept/.ready" ||
        missing "npm packages of wasm" "npm ci (in wasm)"
fi
echo "$kept/node_modules"
