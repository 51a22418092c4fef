"""A command that is interrupted: its status, its one line, the store it leaves, no process left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest

from minkgen.recipe import Recipe
from minkgen.store.layout import StorePaths
from minkgen.workflows.ingest import ingest

PROGRAM = "from minkgen.cli.main import main; main()"
LINE = "interrupted; run the same command again: finished parts are kept\n"
FIRST, DAYS = date(2024, 7, 1), 20


@pytest.fixture
def long_recipe(make_recipe: Callable[..., Recipe], tmp_path: Path) -> Recipe:
    """Return a recipe of many days without a file: each is a short task of its own."""
    (tmp_path / "archive").mkdir()
    end = FIRST + timedelta(days=DAYS)
    return make_recipe(period={"start": FIRST, "end": end}, cluster={"workers": 1})


@contextmanager
def ingesting(recipe: Recipe, folder: Path) -> Iterator[subprocess.Popen[str]]:
    path = folder / "recipe.yaml"
    path.write_text(recipe.model_dump_json())
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-c", PROGRAM, "ingest", str(path), "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        with process:
            yield process
            process.kill()
    finally:
        process.kill()


def finished_days(recipe: Recipe) -> set[date]:
    folder = ledger_of(recipe, FIRST).parent
    return {date.fromisoformat(path.stem) for path in folder.glob("*.json")}


def ledger_of(recipe: Recipe, day: date) -> Path:
    return StorePaths(recipe.store).ledger(day)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    began = time.monotonic()
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < 60
        time.sleep(0.01)


def members(group: int) -> list[int]:
    """Return the processes of a group that are alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, fields = stat.read_text().rpartition(") ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, _, its_group = fields.split()[:3]
        if int(its_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def wait_until_gone(group: int) -> None:
    began = time.monotonic()
    while left := members(group):
        assert time.monotonic() - began < 30, left
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("number", "to_all", "status"),
    [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 143)],
    ids=["Ctrl-C reaches all processes of a terminal", "SIGTERM the one that is ours"],
)
def test_an_interrupted_ingest_ends_cleanly(
    long_recipe: Recipe, tmp_path: Path, number: signal.Signals, to_all: bool, status: int
) -> None:
    with ingesting(long_recipe, tmp_path) as process:
        wait_until(lambda: len(finished_days(long_recipe)) >= 2, process)
        (os.killpg if to_all else os.kill)(process.pid, number)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (status, "", f"\n{LINE}")
        wait_until_gone(process.pid)
    kept = finished_days(long_recipe)
    assert 2 <= len(kept) < DAYS
    if number == signal.SIGINT:
        # What is there is valid, and the same command brings the rest.
        assert ingest(long_recipe).states["absent"] == 96 * DAYS


def test_a_second_signal_ends_at_once(long_recipe: Recipe, tmp_path: Path) -> None:
    with ingesting(long_recipe, tmp_path) as process:
        wait_until(lambda: len(finished_days(long_recipe)) >= 2, process)
        group = process.pid
        while process.poll() is None:
            os.kill(process.pid, signal.SIGINT)
            time.sleep(0.01)
        assert process.returncode == -signal.SIGINT
        wait_until_gone(group)
