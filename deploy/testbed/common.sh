# Sourced by the scripts of the test bed: where SLURM's programs are, and how its daemons are kept.
# shellcheck shell=bash

testbed=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=$PATH:/usr/sbin:/sbin # where Debian has daemons, and where no user's PATH leads
python=${PYTHON:-python3}
# The packages unpacked, where they may not be installed.
unpacked=${MINKGEN_SLURM_ROOT:-$(dirname "$(dirname "$testbed")")/build/slurm}
programs=(munged slurmctld slurmd slurmstepd sbatch scontrol)

say() { printf 'test bed: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# slurm.conf and the loader want absolute paths.
[[ $unpacked = /* ]] || fail "MINKGEN_SLURM_ROOT=$unpacked: give an absolute path"

# Are all programs on this host's PATH?
on_host() {
    local program
    for program in "${programs[@]}"; do
        command -v "$program" >/dev/null || return 1
    done
}

# Does the unpacked folder come first here? Only if it was asked for, or if the host has no SLURM;
# never some programs from here and some from there.
use_unpacked() { [ -n "${MINKGEN_SLURM_ROOT:-}" ] || ! on_host; }

# The folder of SLURM's libraries and plugins among the unpacked packages; "" if there is none.
unpacked_plugins() { compgen -G "$unpacked/usr/lib/*/slurm-wlm" | head -n 1; }

# Put the programs on PATH, from the host or from the unpacked folder; fail if they are in neither.
find_slurm() {
    plugins=
    if use_unpacked; then
        plugins=$(unpacked_plugins)
        [ -n "$plugins" ] || return 1
        PATH=$unpacked/usr/sbin:$unpacked/usr/bin:$PATH
        export LD_LIBRARY_PATH=$plugins:$(dirname "$plugins")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
        on_host
    fi
}

# keep NAME COMMAND...: run a daemon of the bed $base that dies with $owner (0: with nobody).
keep() {
    local name=$1 lines=0
    shift
    [ ! -f "$base/pids/$name" ] || lines=$(wc -l <"$base/pids/$name")
    setsid "$python" -I "$testbed/keep.py" "$base/pids/$name" "$owner" "$@" \
        </dev/null >>"$base/log/$name.out" 2>&1 &
    wait_for 10 recorded "$name" "$lines" || fail "$name did not start: $base/log/$name.out"
}

recorded() { [ -f "$base/pids/$1" ] && [ "$(wc -l <"$base/pids/$1")" -gt "$2" ]; }

# Is the process PID the one that STARTED then, and not a later one with its id?
lives() { # PID STARTED
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # shellcheck disable=SC2086 # the fields are words; a name in front of them may hold spaces
    set -- "$2" ${stat##*) }
    [ "$2" != Z ] && [ "${21}" = "$1" ]
}

# wait_for SECONDS COMMAND...: poll until the command succeeds.
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -le "$end" ] || return 1
        sleep 0.1
    done
}

# Kill the trees of all keepers of the records given, and wait until they are gone.
end_keepers() {
    local keeper keeper_started _
    while read -r keeper keeper_started _; do
        if lives "$keeper" "$keeper_started"; then
            kill -TERM "$keeper" 2>/dev/null || true
            wait_for 20 gone "$keeper" "$keeper_started" ||
                fail "process $keeper does not end: look at it with ps -f --pid $keeper"
        fi
    done < <(cat "$@")
}

gone() { ! lives "$@"; }

start_slurmd() { # NODE
    local stepd=()
    [ -z "$plugins" ] || stepd=(-d "$unpacked/usr/sbin/slurmstepd")
    keep "$1" "$(command -v slurmd)" -D -f "$base/slurm.conf" -N "$1" "${stepd[@]}"
}

node_state() { timeout 10 scontrol --oneliner show node "$1" | grep -o ' State=[^ ]*'; }

# Does the node answer and take jobs? A star after its state means that it does not answer.
node_ready() {
    case $(node_state "$1" 2>/dev/null) in
    *DOWN* | *'*'* | *NOT_RESPONDING* | *DRAIN* | *UNKNOWN* | '') return 1 ;;
    esac
}
