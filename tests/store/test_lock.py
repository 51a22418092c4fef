"""The lock of a store: one holder at a time, and a holder that is gone is in nobody's way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from minkgen.errors import StoreError, StoreLockedError
from minkgen.store import lock as module
from minkgen.store.lock import STALE_SECONDS, hold_lock

# Takes the lock, says so, and holds it until its input ends.
HOLDER = """
import sys
from pathlib import Path
from minkgen.store.lock import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
# Adds one to a number, many times, with a gap between reading and writing.
COUNTER = """
import sys, time
from pathlib import Path
from minkgen.store.lock import hold_lock
folder, number = map(Path, sys.argv[1:])
for _ in range(15):
    with hold_lock(folder, wait_seconds=60):
        value = int(number.read_text())
        time.sleep(0.002)
        number.write_text(str(value + 1))
"""


def start(code: str, *arguments: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "build"


def forged(folder: Path, **fields: object) -> Path:
    """Put down the ticket of another process."""
    folder.mkdir(parents=True, exist_ok=True)
    holder = {
        "host": "n7",
        "pid": 4711,
        "since": "2024-07-01T12:00:00Z",
        "machine": "another boot",
        "started": "1",
    }
    ticket = folder / "000000005.json"
    ticket.write_text(json.dumps(holder | fields))
    return ticket


def test_a_second_holder_is_refused_and_told_who_is_there(folder: Path) -> None:
    with hold_lock(folder) as lock:
        lock.check()
        with (
            pytest.raises(StoreLockedError, match=f"pid {os.getpid()}") as caught,
            hold_lock(folder),
        ):
            pass
    assert os.uname().nodename in str(caught.value.got)
    assert "20" in str(caught.value.got)
    with hold_lock(folder):
        assert len(list(folder.iterdir())) == 1


def test_a_second_holder_waits_as_long_as_it_was_told(folder: Path) -> None:
    inside = threading.Event()
    order = []

    def first() -> None:
        with hold_lock(folder):
            inside.set()
            time.sleep(0.2)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(10)
    with hold_lock(folder, wait_seconds=30):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_a_killed_holder_is_gone_at_once(folder: Path) -> None:
    process = start(HOLDER, folder)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StoreLockedError, match=f"pid {process.pid}"), hold_lock(folder):
            pass
        process.send_signal(signal.SIGKILL)
        # Not reaped yet, what remains of a killed process still has its pid.
        deadline = time.monotonic() + 10
        while module._start_of(process.pid) is not None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        with hold_lock(folder):
            pass
    finally:
        process.kill()
        process.communicate()


def test_a_pid_that_was_given_anew_is_no_holder(folder: Path) -> None:
    forged(folder, machine=module._machine(), pid=os.getpid(), started="12")
    with hold_lock(folder) as lock:
        assert lock.ticket.name == "000000006.json"


@pytest.mark.parametrize("content", ["a holder", "unsigned"])
def test_a_holder_on_another_host_is_known_by_its_heartbeat(folder: Path, content: str) -> None:
    ticket = forged(folder)
    if content == "unsigned":
        ticket.write_text("")
    with pytest.raises(StoreLockedError) as caught, hold_lock(folder):
        pass
    if content == "a holder":
        assert str(caught.value.got) == "host n7, pid 4711, since 2024-07-01T12:00:00Z"
    past = time.time() - STALE_SECONDS - 5
    os.utime(ticket, (past, past))
    with hold_lock(folder):
        pass


def test_a_holder_shows_that_it_lives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HEARTBEAT_SECONDS", 0.01)
    with hold_lock(folder) as lock:
        os.utime(lock.ticket, (1000, 1000))
        deadline = time.monotonic() + 10
        while lock.ticket.stat().st_mtime == 1000:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    assert not [thread for thread in threading.enumerate() if thread.name == "store lock"]


def test_who_was_taken_for_gone_learns_it(folder: Path) -> None:
    with hold_lock(folder) as lock:
        lock.ticket.write_text("")
        os.utime(lock.ticket, (1000, 1000))
        with hold_lock(folder) as other, pytest.raises(StoreError, match="lost to another process"):
            lock.check()
        other.check()
    with hold_lock(folder):
        pass


def test_what_killed_takers_left_is_cleared_away(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, age in ((".old.ticket", STALE_SECONDS + 5), (".new.ticket", 0)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age, time.time() - age))
    with hold_lock(folder) as lock:
        assert {path.name for path in folder.iterdir()} == {".new.ticket", lock.ticket.name}


def test_of_two_takers_of_a_stale_lock_one_gets_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have found the holder gone; the slower one meets the faster one's lock."""
    os.utime(forged(folder), (1000, 1000))
    looked = module._living_holder
    entered: list[module.Lock] = []

    def slow(ticket: Path) -> object:
        found = looked(ticket)
        if not entered:
            monkeypatch.setattr(module, "_living_holder", looked)
            faster = hold_lock(folder)
            entered.append(faster.__enter__())
            locks.append(faster)
        return found

    locks: list[object] = []
    monkeypatch.setattr(module, "_living_holder", slow)
    with pytest.raises(StoreLockedError), hold_lock(folder):
        pass
    entered[0].check()
    locks[0].__exit__(None, None, None)  # type: ignore[attr-defined]


def test_a_taker_that_slept_through_a_whole_reign_meets_the_next_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number that it is about to create was taken, given back and cleared away."""
    os.utime(forged(folder), (1000, 1000))
    looked = module._living_holder
    reigns = []

    def slow(ticket: Path) -> object:
        found = looked(ticket)
        monkeypatch.setattr(module, "_living_holder", looked)
        with hold_lock(folder):
            pass
        reigns.append(hold_lock(folder))
        reigns[0].__enter__()
        return found

    monkeypatch.setattr(module, "_living_holder", slow)
    with pytest.raises(StoreLockedError), hold_lock(folder):
        pass
    assert [ticket.name for ticket in folder.iterdir()] == ["000000007.json"]
    reigns[0].__exit__(None, None, None)


def test_processes_count_without_loss(folder: Path, tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.write_text("0")
    processes = [start(COUNTER, folder, number) for _ in range(3)]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert number.read_text() == "45"
