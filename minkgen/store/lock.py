"""A lock on a part of a store that holds across hosts, and outlives no holder.

A lock is a folder of numbered tickets. Whoever creates the highest number holds the lock, until
the ticket is given back or its holder is gone; the next holder creates the next number. Linking a
signed file to the number is the one step that decides, on NFS as on a local disk; the highest
number never falls, so that of two processes which find the same holder gone, one gets the next
number and the other meets it. (Removing or renaming a stale lock file has no such order: a slow
process removes the lock of the next one.)
"""

from __future__ import annotations

import json
import os
import platform
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from minkgen.errors import StoreError, StoreLockedError

__all__ = ["STALE_SECONDS", "Holder", "Lock", "hold_lock"]

# A holder on another host is known by its heartbeat alone. NFS clients may show a time of change
# that is a minute old, and a busy metadata server may need minutes: 15 heartbeats may be missed.
_HEARTBEAT_SECONDS = 20.0
STALE_SECONDS = 300.0
_POLL_SECONDS = 0.1
_TICKET = re.compile(r"^\d{9}\.json$")


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock.

    Attributes
    ----------
    host : str
    pid : int
    since : str
        When it took the lock (UTC, ISO 8601).
    machine : str
        Boot and process namespace; processes of the same machine are known by pid and start.
    started : str
        When the process started, in ticks since that boot: a pid may be given anew.
    """

    host: str
    pid: int
    since: str
    machine: str
    started: str

    def __str__(self) -> str:
        return f"host {self.host}, pid {self.pid}, since {self.since}"


@dataclass(frozen=True)
class Lock:
    """A lock that is held."""

    ticket: Path

    def check(self) -> None:
        """Make sure that the lock is still held, before a step that must not be done twice.

        Raises
        ------
        StoreError
            If this process was suspended for so long that another one took over.
        """
        if _highest(self.ticket.parent) != self.ticket.name:
            raise StoreError(
                "the lock was lost to another process",
                where=self.ticket,
                got=f"a heartbeat that stood still for more than {STALE_SECONDS:g} s",
                hint="run the same command again: what is finished is kept",
            )


@contextmanager
def hold_lock(folder: Path, *, wait_seconds: float = 0.0) -> Iterator[Lock]:
    """Hold a lock for the length of a block.

    Parameters
    ----------
    folder : Path
        The folder of the lock's tickets, as `StorePaths.lock` gives it.
    wait_seconds : float, optional
        How long to wait for another holder to end.

    Yields
    ------
    Lock

    Raises
    ------
    StoreLockedError
        If another process still holds the lock; names its host, pid and since when.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ticket = _wait_for_ticket(folder, wait_seconds)
    ended = threading.Event()
    # A daemon: the heart of a process that ends without giving back must not go on beating.
    heart = threading.Thread(target=_beat, args=(ticket, ended), name="store lock", daemon=True)
    heart.start()
    try:
        yield Lock(ticket)
    finally:
        ended.set()
        heart.join()
        with suppress(FileNotFoundError):  # lost, and cleared away by a later holder
            _give_back(ticket)


def _wait_for_ticket(folder: Path, wait_seconds: float) -> Path:
    deadline = time.monotonic() + wait_seconds
    while True:
        taken = _take(folder)
        if isinstance(taken, Path):
            return taken
        left = deadline - time.monotonic()
        if left <= 0:
            raise StoreLockedError(
                f"another process is at work on the store's {folder.name}",
                where=folder,
                got=taken,
                hint="wait for it to end, or end it: the lock of a process that is gone is taken "
                f"over, at once on its own host, after {STALE_SECONDS:g} s elsewhere",
            )
        time.sleep(min(_POLL_SECONDS, left))


def _take(folder: Path) -> Path | Holder | str:
    """Return a ticket of one's own, or who is in the way."""
    last = _highest(folder)
    if last is not None:
        other = _living_holder(folder / last)
        if other is not None:
            return other
    ticket = folder / f"{1 if last is None else int(Path(last).stem) + 1:09d}.json"
    if not _create_signed(ticket):
        return "a process that has just taken it"
    if _highest(folder) != ticket.name:
        # Between looking and creating, others took the lock, gave it back, and cleared away the
        # number that was then free again.
        ticket.unlink()
        return "a process that has just taken it"
    _clear_away(ticket)
    return ticket


def _create_signed(ticket: Path) -> bool:
    """Create a ticket together with its content, if nobody else did."""
    signed = ticket.with_name(f".{uuid4().hex}.ticket")
    signed.write_text(json.dumps(asdict(_myself())))
    try:
        os.link(signed, ticket)
    except FileExistsError:
        # NFS may carry out a call, lose its answer, and answer the repeated one.
        return signed.stat().st_nlink == 2
    except FileNotFoundError:  # suspended for so long that another taker cleared it away
        return False
    finally:
        signed.unlink(missing_ok=True)
    return True


def _clear_away(ticket: Path) -> None:
    """Remove what earlier holders left, and what takers left that were killed."""
    now = ticket.stat().st_mtime
    for path in ticket.parent.iterdir():
        with suppress(FileNotFoundError):
            earlier = _TICKET.match(path.name) and path.name < ticket.name
            if earlier or (path.name[0] == "." and now - path.stat().st_mtime > STALE_SECONDS):
                path.unlink()


def _tickets(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if _TICKET.match(name)]


def _highest(folder: Path) -> str | None:
    return max(_tickets(folder), default=None)


def _give_back(ticket: Path) -> None:
    os.utime(ticket, (0, 0))


def _beat(ticket: Path, ended: threading.Event) -> None:
    while not ended.wait(_HEARTBEAT_SECONDS):
        with suppress(OSError):  # a file system that stutters; `Lock.check` tells what was lost
            os.utime(ticket)


def _living_holder(ticket: Path) -> Holder | str | None:
    """Return who holds a ticket, or None if it was given back or its holder is gone."""
    try:
        text = ticket.read_text()
        heartbeat = ticket.stat().st_mtime
    except FileNotFoundError:
        return "a process that has just taken it"
    if heartbeat == 0:
        return None
    try:
        holder = Holder(**json.loads(text))
    except (ValueError, TypeError):
        # A host that lost its power may leave a ticket without its content.
        return "a process without a name" if _is_beating(ticket.parent, heartbeat) else None
    if holder.machine == _machine():
        return holder if _start_of(holder.pid) == holder.started else None
    return holder if _is_beating(ticket.parent, heartbeat) else None


def _is_beating(folder: Path, heartbeat: float) -> bool:
    """Compare with the clock of the file system, which is another host's as a rule."""
    probe = folder / f".{uuid4().hex}.probe"
    probe.touch()
    now = probe.stat().st_mtime
    probe.unlink()
    return now - heartbeat < STALE_SECONDS


def _myself() -> Holder:
    pid = os.getpid()
    return Holder(
        host=platform.node(),
        pid=pid,
        since=f"{datetime.now(UTC):%FT%TZ}",
        machine=_machine(),
        started=_start_of(pid) or "",
    )


def _machine() -> str:
    """Return what processes share whose pids can be compared: a boot and a process namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"


def _start_of(pid: int) -> str | None:
    """Return when a process started, or None if there is none, or only its remains."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = line.rpartition(")")[2].split()  # the name before may hold anything
    return None if state in "ZX" else fields[18]
