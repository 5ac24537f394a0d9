#!/usr/bin/env bash
# Makes sure that there is a Chromium for the test in a real browser: the system's, else Debian's, else Playwright's own.
# Usage: scripts/chromium.sh PYTHON, the interpreter that Playwright is installed for.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" > /dev/null; then
        exit 0
    fi
done
install="apt-get install --yes --no-install-recommends -qq chromium"
if command -v apt-get > /dev/null && [ "$(id -u)" = 0 ]; then
    echo "installing Chromium by apt-get"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $install > /dev/null
elif command -v apt-get > /dev/null && sudo --non-interactive true 2> /dev/null; then
    echo "installing Chromium by sudo apt-get"
    sudo apt-get update -qq
    sudo DEBIAN_FRONTEND=noninteractive $install > /dev/null
else
    echo "no Chromium and no right to install one: fetching Playwright's"
    "$1" -m playwright install chromium
fi
