"""An ingest that is killed at any moment, and run again, leaves what an undisturbed one leaves."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path

import pytest

from minkgen.opera.synthetic import write_archive
from minkgen.recipe import Recipe
from minkgen.store.layout import StorePaths

START = datetime(2024, 7, 1, tzinfo=UTC)
DAYS, KILLS = 3, 20
PROGRAM = "from minkgen.cli.main import main; main()"


@pytest.fixture
def hourly_recipe(make_recipe: Callable[..., Recipe], tmp_path: Path) -> Recipe:
    """Return a recipe of three days with one composite an hour, all other quarters absent."""
    end = START + timedelta(days=DAYS)
    for hour in range(24 * DAYS):
        first = START + timedelta(hours=hour)
        write_archive(
            tmp_path / "archive",
            start=first,
            end=first + timedelta(minutes=15),
            layout="nimbus",
            seed=1,
        )
    parts = [START, START + timedelta(days=1), START + timedelta(days=2), end]
    windows = {
        name: {"start": begin, "end": stop}
        for name, begin, stop in zip(
            ("train", "validation", "test"), parts[:-1], parts[1:], strict=True
        )
    }
    return make_recipe(
        source={"path": str(tmp_path / "archive")},
        period={"start": START, "end": end},
        splits={**windows, "gap_hours": 2},
        cluster={"workers": 2},
    )


def start_ingest(recipe: Recipe, folder: Path) -> subprocess.Popen[bytes]:
    path = folder / "recipe.yaml"
    path.write_text(recipe.model_dump_json())
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-c", PROGRAM, "ingest", str(path), "--quiet", "--json"],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def begun(incoming: Path) -> set[tuple[str, int]]:
    """Return the days that workers have begun with, and when."""
    days = set()
    for name in os.listdir(incoming) if incoming.exists() else ():
        with suppress(FileNotFoundError):  # a worker has just ended its day
            days.add((name, (incoming / name).stat().st_ctime_ns))
    return days


def content_of(store: Path) -> dict[str, bytes]:
    """Return all files of a store; the ledger without the times and attempts it records."""
    content = {}
    for path in sorted(store.rglob("*")):
        if path.is_file() and "locks" not in path.parts:
            data = path.read_bytes()
            if path.parent == StorePaths(store).ledger(START.date()).parent:
                day = json.loads(data)
                for slot in day["slots"].values():
                    del slot["attempts"], slot["checked"]
                data = json.dumps(day).encode()
            content[str(path.relative_to(store))] = data
    return content


def differences(
    found: dict[str, bytes], expected: dict[str, bytes]
) -> dict[str, tuple[object, ...]]:
    """Return every file that differs, both contents cut down to where they part."""
    apart = {}
    for name in found.keys() | expected.keys():
        here, there = found.get(name), expected.get(name)
        if here != there:
            alike = takewhile(
                lambda pair: pair[0] == pair[1], zip(here or b"", there or b"", strict=False)
            )
            shown = slice(max(0, sum(1 for _ in alike) - 80), None)
            apart[name] = tuple(
                data and f"{len(data)}: {data[shown][:160]!r}" for data in (here, there)
            )
    return apart


@pytest.mark.slow
def test_killed_at_twenty_random_moments(hourly_recipe: Recipe, tmp_path: Path) -> None:
    undisturbed = hourly_recipe.model_copy(update={"store": tmp_path / "undisturbed"})
    assert start_ingest(undisturbed, tmp_path).wait(timeout=300) == 0

    chance = random.Random(20)  # noqa: S311 - moments, no secrets
    store = StorePaths(hourly_recipe.store)
    incoming = store.incoming(START.date()).parent
    killed = 0
    while killed < KILLS:
        left_over = begun(incoming)
        process = start_ingest(hourly_recipe, tmp_path)
        waited_since = time.monotonic()
        # Wait until a worker begins with a day, then for a moment of the work that follows.
        while process.poll() is None and begun(incoming) == left_over:
            time.sleep(0.005)
            assert time.monotonic() - waited_since < 120
        time.sleep(chance.uniform(0.0, 2.5))
        if process.poll() is not None:
            # It was done: begin anew, so that every kill hits work.
            for path in store.ledger(START.date()).parent.glob("*.json"):
                path.unlink()
            continue
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
        killed += 1
    assert start_ingest(hourly_recipe, tmp_path).wait(timeout=300) == 0
    assert differences(content_of(hourly_recipe.store), content_of(undisturbed.store)) == {}
