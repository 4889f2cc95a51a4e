#!/bin/bash
# A Chromium for the tests; prints its path.
set -u
cd "$(dirname "$0")/.." && . .ci/lib.sh
found() { command -v chromium || command -v chromium-browser || command -v google-chrome; }
found || { system chromium && found; }
