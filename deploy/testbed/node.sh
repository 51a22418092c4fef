#!/usr/bin/env bash
# Play a fault of a node, or mend it.
#
#   node.sh BASE kill NODE      the node dies: slurmd, its steps and their jobs' processes are killed
#                               and the node is set down, as a health check would; jobs are requeued
#   node.sh BASE cut NODE       slurmd alone dies, its jobs run on; after half a minute they are
#                               requeued, and 6 s later run elsewhere too: two copies at once, until
#                               the first ends or the node is resumed
#   node.sh BASE resume NODE    slurmd is started unless it runs, and the node takes jobs
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ $# = 3 ] && [ -s "$1/pids/$3" ] || fail "usage: node.sh BASE kill|cut|resume NODE"
base=$(cd "$1" && pwd -P) verb=$2 node=$3
. "$base/env.sh"
find_slurm || fail "SLURM is not installed: run $testbed/install.sh"
read -r keeper keeper_started daemon daemon_started < <(tail -n 1 "$base/pids/$node")

case $verb in
kill)
    end_keepers "$base/pids/$node"
    timeout 10 scontrol update "NodeName=$node" State=DOWN Reason=killed
    ;;
cut)
    lives "$daemon" "$daemon_started" || fail "slurmd of $node does not run"
    kill -KILL "$daemon"
    ;;
resume)
    if ! lives "$daemon" "$daemon_started"; then
        owner=$(cat "$base/owner")
        start_slurmd "$node"
    fi
    wait_for 30 node_ready "$node" || fail "$node does not come back:$(node_state "$node")"
    ;;
*) fail "usage: node.sh BASE kill|cut|resume NODE" ;;
esac
