#!/usr/bin/env bash
# Get Debian's Chromium for the tests of the report; says loudly and exits 1 when it cannot.
#
#   install.sh    nothing if there is one on PATH, or named by MINKGEN_CHROMIUM; else, as root, by
#                 apt-get
set -euo pipefail

say() { printf 'browser: %s\n' "$*" >&2; }

find_chromium() { command -v "${MINKGEN_CHROMIUM:-chromium}"; }

by_apt() {
    [ -z "${MINKGEN_CHROMIUM:-}" ] && [ "$(id -u)" = 0 ] || return 1
    command -v apt-get >/dev/null || return 1
    apt-get update -qq || say "apt-get update failed; going on with the lists that are there"
    # Without a font every letter is an empty box.
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends \
        chromium fonts-dejavu-core >&2
}

if ! find_chromium >/dev/null && ! by_apt; then
    say "################################################################################"
    say "NO CHROMIUM: the package chromium is not here and cannot be installed by this user."
    say "As root: apt-get install chromium fonts-dejavu-core; or set MINKGEN_CHROMIUM to the"
    say "program of a Chromium or Chrome, and run this again."
    say "################################################################################"
    exit 1
fi
say "$("$(find_chromium)" --version 2>/dev/null) is there: $(find_chromium)"
