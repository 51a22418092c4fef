#!/usr/bin/env bash
# Stop the test bed of a folder with all its jobs, by its recorded process ids; its files stay.
#
#   stop.sh BASE
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ $# = 1 ] && [ -d "$1/pids" ] || fail "usage: stop.sh BASE, a folder that start.sh filled"
base=$(cd "$1" && pwd -P)
compgen -G "$base/pids/*" >/dev/null || exit 0
end_keepers "$base"/pids/*
