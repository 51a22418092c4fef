"""Reading in a child process: the same results, and no file that takes the parent with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from minkgen.errors import SourceError, TaskError
from minkgen.grid import TEST_2KM
from minkgen.opera.keys import ArchiveKey
from minkgen.opera.odim import PRODUCT_SCALING, Composite, Scaling, isolated, read_composite
from minkgen.opera.odim.isolated import IsolatedReader
from minkgen.opera.synthetic.odim_writer import Layout, write_composite

TIME = datetime(2024, 7, 1, 12, 15, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "composite.h5", "nimbus")


@pytest.fixture
def reader() -> Iterator[IsolatedReader]:
    with IsolatedReader() as opened:
        yield opened


def write(path: Path, layout: Layout, rate: float = 1.5) -> Path:
    rain_rate = np.zeros(TEST_2KM.shape)
    rain_rate[:, :9] = np.nan
    rain_rate[7, 50:] = rate
    quality = np.full(TEST_2KM.shape, 0.5)
    write_composite(path, rain_rate, quality, time=TIME, grid=TEST_2KM, layout=layout)
    return path


def assert_same(one: Composite, other: Composite) -> None:
    for name in Composite.__dataclass_fields__:
        first, second = getattr(one, name), getattr(other, name)
        if isinstance(first, np.ndarray):
            assert first.dtype == second.dtype
            assert np.array_equal(first, second, equal_nan=True), name
        else:
            assert first == second, name


def is_running(process_id: int) -> bool:
    """Return whether a process is there; one that nobody has asked for its end is."""
    return Path(f"/proc/{process_id}").exists()


def test_it_reads_what_is_read_here(path: Path, reader: IsolatedReader, tmp_path: Path) -> None:
    odyssey = write(tmp_path / "odyssey.h5", "odyssey")
    for file, key in ((path, ArchiveKey(TIME, "RATE")), (odyssey, None)):
        assert_same(reader.read(file, key), read_composite(file, key))
    with h5py.File(odyssey, "r+") as edited:
        del edited["dataset2"]
        edited["dataset1/data1/data"][3, 3] = np.inf
    without_quality = reader.read(odyssey)
    assert without_quality.quality is None
    assert without_quality.not_finite == 1
    assert_same(without_quality, read_composite(odyssey))


def test_results_are_the_callers_own(path: Path, reader: IsolatedReader, tmp_path: Path) -> None:
    first = reader.read(path)
    copy = first.values.copy()
    reader.read(write(tmp_path / "other.h5", "nimbus", rate=99.0))
    assert np.array_equal(first.values, copy, equal_nan=True)
    first.values[...] = 0.0


def test_accepted_scalings_get_across(path: Path, reader: IsolatedReader) -> None:
    with h5py.File(path, "r+") as file:
        file["dataset1/data1/what"].attrs["gain"] = 0.1
    with pytest.raises(SourceError, match="scaled in an unknown way"):
        reader.read(path)
    accepted = (Scaling(3.0, 0.0, -1.0, -2.0), PRODUCT_SCALING._replace(gain=0.1))
    assert_same(reader.read(path, None, accepted), read_composite(path, accepted=accepted))


def test_errors_are_those_of_reading_here(
    path: Path, reader: IsolatedReader, tmp_path: Path
) -> None:
    no_file, no_hdf5 = tmp_path / "none.h5", tmp_path / "page.h5"
    no_hdf5.write_text("<html>503</html>")
    other_time = ArchiveKey(TIME.replace(hour=13), "RATE")
    for file, key in ((no_file, None), (no_hdf5, None), (path, other_time)):
        with pytest.raises(SourceError) as here:
            read_composite(file, key)
        with pytest.raises(SourceError) as there:
            reader.read(file, key)
        assert str(there.value) == str(here.value)
    process_id = reader.process_id
    reader.read(path)
    assert reader.process_id == process_id


def test_a_file_that_hangs_is_given_up(path: Path, tmp_path: Path) -> None:
    """A pipe that nobody writes to is never open for reading."""
    pipe = tmp_path / "pipe.h5"
    os.mkfifo(pipe)
    with IsolatedReader(time_limit_seconds=0.2) as reader:
        with pytest.raises(SourceError, match="takes too long") as caught:
            reader.read(pipe)
        assert str(pipe) in str(caught.value)
        assert reader.process_id is None
        reader.time_limit_seconds = 60.0
        reader.read(path)


def test_a_file_on_which_the_process_dies_twice_is_an_error(
    path: Path, reader: IsolatedReader, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe.h5"
    os.mkfifo(pipe)
    killed = []

    def kill_both() -> None:
        for _ in range(2):
            # This opens at the moment at which the process opens the other end.
            with pipe.open("wb"):
                assert reader.process_id is not None
                killed.append(reader.process_id)
                os.kill(reader.process_id, signal.SIGSEGV)
            while is_running(killed[-1]):
                time.sleep(0.01)

    killer = threading.Thread(target=kill_both)
    killer.start()
    with pytest.raises(SourceError, match="crashes") as caught:
        reader.read(pipe)
    killer.join()
    assert "SIGSEGV" in str(caught.value)
    assert str(pipe) in str(caught.value)
    assert len(set(killed)) == 2
    assert_same(reader.read(path), read_composite(path))


def test_a_process_killed_between_files_costs_nothing(path: Path, reader: IsolatedReader) -> None:
    reader.read(path)
    process_id = reader.process_id
    assert process_id is not None
    os.kill(process_id, signal.SIGKILL)
    assert_same(reader.read(path), read_composite(path))
    assert not is_running(process_id)


def test_memory_is_limited(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        values = file["dataset1/data1/data"][...]
        del file["dataset1/data1/data"]
        file["dataset1/data1"].create_dataset("data", data=values, chunks=values.shape)
    with (
        IsolatedReader(memory_bytes=1_000_000) as reader,
        pytest.raises(SourceError, match="too much memory"),
    ):
        reader.read(path)
    with IsolatedReader() as reader:
        reader.read(path)
        limits = Path(f"/proc/{reader.process_id}/limits").read_text()
        line = next(line for line in limits.splitlines() if line.startswith("Max address space"))
        assert 2 * 10**9 < int(line.split()[3]) < 4 * 10**9


def test_nothing_is_left_behind(path: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with IsolatedReader() as reader:
        reader.read(path)
        process_id = reader.process_id
        assert process_id is not None
        assert is_running(process_id)
    assert not is_running(process_id)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_an_interrupt_ends_the_process_and_its_answer(
    path: Path, reader: IsolatedReader, tmp_path: Path
) -> None:
    reader.read(path)
    pipe = tmp_path / "pipe.h5"
    os.mkfifo(pipe)
    process_id = reader.process_id

    def interrupt() -> None:
        with pipe.open("wb"):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            while is_running(process_id or 0):
                time.sleep(0.01)

    interrupter = threading.Thread(target=interrupt)
    # A shell that starts the tests in its background lets them ignore interrupts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            reader.read(pipe)
        interrupter.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert_same(reader.read(path), read_composite(path))


def test_a_process_that_does_not_start_is_not_the_files_fault(
    path: Path, reader: IsolatedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "sys", SimpleNamespace(executable="/bin/false"))
    with pytest.raises(TaskError, match="does not start"):
        reader.read(path)


PARENT = """
import os, sys
from pathlib import Path
from minkgen.opera.odim.isolated import IsolatedReader
reader = IsolatedReader(time_limit_seconds=1.0)
reader.read(Path(sys.argv[1]))
print(reader.process_id, flush=True)
if len(sys.argv) > 2:
    reader.time_limit_seconds = 600.0
    reader.read(Path(sys.argv[2]))
sys.stdin.read()
"""


def start_parent(*paths: Path) -> tuple[subprocess.Popen[str], int]:
    """Start a process with a reader; return it and the reader's process."""
    parent = subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", PARENT, *map(str, paths)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def has_ended(process_id: int) -> bool:
    """Return whether a process whose parent is gone has ended; nobody may have buried it."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def assert_ends(process_id: int, *, within_seconds: float) -> None:
    end = time.monotonic() + within_seconds
    while not has_ended(process_id):
        assert time.monotonic() < end, "the process outlives its parent"
        time.sleep(0.05)


def test_the_process_ends_with_its_parent(path: Path) -> None:
    parent, process_id = start_parent(path)
    with parent:
        assert not has_ended(process_id)
        parent.kill()
    assert_ends(process_id, within_seconds=60.0)


@pytest.mark.slow
def test_a_hanging_process_outlives_its_parent_not_for_long(path: Path, tmp_path: Path) -> None:
    """It has 1 s for a file, and 10 s more before it ends by itself."""
    pipe = tmp_path / "pipe.h5"
    os.mkfifo(pipe)
    parent, process_id = start_parent(path, pipe)
    with parent, pipe.open("wb"):  # opens when the process does
        parent.kill()
        parent.wait()
        # The pipe stays open and empty: the process waits for its first byte.
        assert_ends(process_id, within_seconds=120.0)
