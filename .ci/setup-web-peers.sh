#!/bin/bash
# The npm packages of wasm/test/peers, kept, and linked there as node_modules; prints that folder.
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
node=$(.ci/setup-node.sh) || exit
PATH="$(dirname "$node"):$PATH"
here=wasm/test/peers
kept="$cache/web-peers-$(sha256sum $here/package-lock.json | cut -c1-12)"
if [ ! -e "$kept/.ready" ]; then
    say "npm packages of $here into $kept"
    rm -rf "$kept" && mkdir -p "$kept" && cp $here/{package.json,package-lock.json,.npmrc} "$kept" &&
        (cd "$kept" && npm ci --no-audit --no-fund --ignore-scripts >&2) && touch "$kept/.ready" ||
        missing "npm packages of $here" "npm ci (in $here)"
fi
ln -sfn "$kept/node_modules" $here/node_modules && echo "$PWD/$here/node_modules"
