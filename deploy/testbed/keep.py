"""Keep one daemon of the test bed, so that one recorded process id ends all that it started.

slurmd's steps, and what jobs start, leave its session and its process group; but a subreaper
inherits every orphan below it, so here the tree of a node stays whole whatever daemonises in it.

    keep.py RECORD OWNER COMMAND [ARGUMENT...]

appends `KEEPER STARTED DAEMON STARTED` to RECORD (process ids, and the kernel's start times, which
tell a process from a later one with its id), and ends when nothing is left of the tree. SIGTERM
kills the tree, and so does the end of the process OWNER (0: nobody's).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
WATCHED = {signal.SIGCHLD, signal.SIGTERM}


def status(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state, parent, ...; [] if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; "" if it is gone or a zombie."""
    fields = status(pid)
    return fields[19] if fields and fields[0] not in "ZX" else ""


def descendants(root: int) -> set[int]:
    """Return the ids of all processes below one."""
    children: dict[int, list[int]] = {}
    for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        if fields := status(pid):
            children.setdefault(int(fields[1]), []).append(pid)
    found: set[int] = set()
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.update(below)
        waiting += below
    return found


def anything_left() -> bool:
    """Collect the children that ended; return whether others live."""
    with suppress(ChildProcessError):
        while True:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return True
    return False


def kill_tree() -> None:
    """Kill all below this process; what was forked meanwhile falls to it and is next."""
    while anything_left():
        for pid in descendants(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def keep(record: Path, owner: int, command: list[str]) -> None:
    """Run the daemon until nothing is left of its tree, or it is time to end it."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this kernel knows no subreapers")
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    owner_started = started(owner)
    daemon = os.posix_spawn(command[0], command, os.environ, setsigmask=[])
    ids = [os.getpid(), daemon]
    with record.open("a") as lines:
        lines.write(" ".join(f"{pid} {started(pid)}" for pid in ids) + "\n")
    while anything_left():
        happened = signal.sigtimedwait(WATCHED, 0.5)
        told = happened is not None and happened.si_signo == signal.SIGTERM
        abandoned = owner and (not owner_started or started(owner) != owner_started)
        if told or abandoned:
            kill_tree()


if __name__ == "__main__":
    keep(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
