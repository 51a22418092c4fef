#!/usr/bin/env bash
# Start a SLURM of four virtual nodes on loopback, everything it writes under one folder.
#
#   start.sh BASE [OWNER]    BASE: a folder, new or empty; OWNER: a process id, the bed ends with it
#
# Then `. BASE/env.sh` and use sbatch, squeue, ... Exit status 3: SLURM is not installed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ $# -ge 1 ] || fail "usage: start.sh BASE [OWNER]"
owner=${2:-0}
nodes=(n1 n2 n3 n4)

mkdir -p "$1"
base=$(cd "$1" && pwd -P)
[ -z "$(ls -A "$base")" ] || fail "$base is not empty: stop the bed in it, remove it, or take another"
case $base in
*[!A-Za-z0-9_./+-]*) fail "$base: slurm.conf takes no spaces or other such characters in a path" ;;
esac
# Sockets lie below the folder, and the kernel ends their names after 107 bytes.
[ ${#base} -le 70 ] || fail "$base: a path of ${#base} bytes; at most 70 leave room for the sockets"
find_slurm || {
    say "SLURM is not installed: run $testbed/install.sh"
    exit 3
}

trap 'say "the bed did not start; the ends of its logs:"; tail -n 5 "$base"/log/* >&2 || true
    "$testbed/stop.sh" "$base" || true' EXIT

umask 077
mkdir "$base"/{jobs,log,munge,pids,spool,state}
echo "$owner" >"$base/owner"
head -c 128 /dev/urandom >"$base/munge/munge.key"

# Below the range that the kernel lends to outgoing connections, which could take a port meanwhile.
read -ra ports < <("$python" -I - $((${#nodes[@]} + 1)) <<'PYTHON'
import random, socket, sys

free = []
for port in random.sample(range(12000, 32000), 1000):
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            continue
    free.append(port)
    if len(free) == int(sys.argv[1]):
        break
print(*free)
PYTHON
)
[ ${#ports[@]} -gt ${#nodes[@]} ] || fail "fewer than $((${#nodes[@]} + 1)) free ports on 127.0.0.1"

host=$(uname -n)
host=${host%%.*}
me=$(id -un)
cat >"$base/slurm.conf" <<CONF
ClusterName=minkgen
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=$me
SlurmdUser=$me
AuthType=auth/munge
# A requeued job waits as long as a credential lasts, by default 120 s.
AuthInfo=socket=$base/munge/munge.sock,cred_expire=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
${plugins:+PluginDir=$plugins}
StateSaveLocation=$base/state
SlurmctldPidFile=$base/state/slurmctld.pid
SlurmctldLogFile=$base/log/slurmctld.log
SlurmdPidFile=$base/state/%n.pid
SlurmdLogFile=$base/log/%n.log
SlurmdSpoolDir=$base/spool/%n
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=100000,batch_sched_delay=0
JobRequeue=1
ReturnToService=2
SlurmdTimeout=10
KillWait=5
ScronParameters=enable
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$base/log/jobcomp.txt
$(for index in "${!nodes[@]}"; do
    echo "NodeName=${nodes[index]} NodeHostname=$host NodeAddr=127.0.0.1" \
        "Port=${ports[index + 1]} CPUs=2 RealMemory=4000 State=UNKNOWN"
done)
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF

# What an allocation around us set would be taken for options of our jobs.
{
    # shellcheck disable=SC2016 # expanded by the shell that reads the file
    echo 'unset ${!SLURM_@} ${!SLURMD_@} ${!SBATCH_@} ${!SRUN_@} ${!SALLOC_@}'
    printf 'export SLURM_CONF=%q\n' "$base/slurm.conf"
    if [ -n "$plugins" ]; then
        printf 'export MINKGEN_SLURM_ROOT=%q\n' "$unpacked"
        printf 'export PATH=%q:%q:$PATH\n' "$unpacked/usr/sbin" "$unpacked/usr/bin"
        printf 'export LD_LIBRARY_PATH=%q:%q${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\n' \
            "$plugins" "$(dirname "$plugins")"
    else
        echo 'unset MINKGEN_SLURM_ROOT'
    fi
} >"$base/env.sh"
. "$base/env.sh"

# --force: the folder is the user's alone, and munged wants its socket in reach of everybody.
keep munged "$(command -v munged)" --foreground --force --num-threads=2 \
    --key-file="$base/munge/munge.key" --socket="$base/munge/munge.sock" \
    --pid-file="$base/munge/munged.pid" --seed-file="$base/munge/munged.seed"
wait_for 10 test -S "$base/munge/munge.sock"
keep slurmctld "$(command -v slurmctld)" -D -f "$base/slurm.conf"
for node in "${nodes[@]}"; do
    start_slurmd "$node"
done
for node in "${nodes[@]}"; do
    wait_for 30 node_ready "$node"
done
trap - EXIT
say "$(slurmctld -V), nodes ${nodes[*]}, is up: . $base/env.sh"
