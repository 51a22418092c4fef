"""Any order of building, publishing, rolling back and pruning, killed at any file operation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from minkgen.store.history import current_name, read_history
from minkgen.store.layout import StorePaths
from minkgen.store.manifest import faults_of
from minkgen.store.publishing import publish
from minkgen.store.snapshot import Snapshot, open_snapshot
from tests.store.crashing import SNAPSHOTS, Worker
from tests.store.tiny import content


def moments(*bounds: int) -> st.SearchStrategy[int | None]:
    """Return when a command is killed: never, or before an operation; each span as likely."""
    spans = [st.integers(first, last) for first, last in pairwise(bounds)]
    return st.one_of(st.none(), *spans)


# How many file operations the commands take was measured: 1,110 to begin and write a snapshot, 160
# to publish it, 16 of them to switch `current`, and 250 to remove one.
BUILDING = moments(0, 1110, 1274)
PUBLISHING = moments(0, 150, 168)
SWITCHING = moments(0, 16)
PRUNING = moments(0, 40, 272)
GRACE_DAYS = 14


@dataclass(frozen=True)
class World:
    """What all examples share: the process that is killed, and the bytes of serial builds."""

    root: Path
    kept: Path
    worker: Worker
    serial: dict[str, dict[str, bytes]]


@pytest.fixture
def world(tiny_store: StorePaths, kept: Path, tmp_path: Path) -> Iterator[World]:
    serial = {}
    for name, tiny in SNAPSHOTS.items():
        alone = StorePaths(tmp_path / f"serial-{name}")
        tiny.place(alone, kept)
        serial[name] = content(publish(alone, name))
    worker = Worker(tiny_store.root)
    try:
        yield World(tiny_store.root, kept, worker, serial)
    finally:
        worker.stop()


def machine_of(world: World) -> type[RuleBasedStateMachine]:
    class StoreMachine(RuleBasedStateMachine):
        """The store, what it must not lose, and the readers that pinned one of its snapshots."""

        def __init__(self) -> None:
            super().__init__()
            self.paths = StorePaths(world.root)
            self.pinned: list[Snapshot] = []
            self.current: str | None = None
            self.built: str | None = None

        @initialize(published=st.lists(st.sampled_from(sorted(SNAPSHOTS)), unique=True))
        def begin(self, published: list[str]) -> None:
            shutil.rmtree(world.root, ignore_errors=True)
            for name in published:
                SNAPSHOTS[name].place(self.paths, world.kept)
                publish(self.paths, name)
                self.current = name

        def do(self, moment: int | None, command: str, *arguments: object) -> Any:
            answer = world.worker.run(moment, command, *arguments)
            found = current_name(self.paths)
            assert self.current is None or found is not None, "current is gone"
            if command == "prune" or isinstance(answer, dict):
                assert found == self.current
            elif isinstance(answer, str) and answer != "killed":
                assert found == answer
            self.current = found
            return answer

        @rule(
            name=st.sampled_from(sorted(SNAPSHOTS)),
            parts=st.permutations(range(4)),
            written=st.sampled_from((1, 2, 4, 4, 4)),
            whole=st.sampled_from((False, True, True)),
            moment=BUILDING,
        )
        def build(
            self, name: str, parts: list[int], written: int, whole: bool, moment: int | None
        ) -> None:
            self.built = name
            answer = self.do(moment, "build", name, parts[:written], whole)
            if isinstance(answer, dict):
                assert whole
                assert "incomplete" in answer["refused"]
            assert moment is not None or not (whole and written == 4) or answer == name

        @rule(name=st.sampled_from(sorted(SNAPSHOTS)), moment=PUBLISHING)
        def publish(self, name: str, moment: int | None) -> None:
            answer = self.do(moment, "publish", name)
            if isinstance(answer, dict):
                assert "incomplete" in answer["refused"] or "no such" in answer["refused"]

        @precondition(lambda self: self.current is not None)
        @rule(moment=SWITCHING)
        def roll_back(self, moment: int | None) -> None:
            before = self.current
            answer = self.do(moment, "roll_back")
            if isinstance(answer, dict):
                assert "nothing to roll back to" in answer["refused"]
            elif answer != "killed":
                assert answer != before

        @precondition(lambda self: self.current is not None)
        @rule(
            keep=st.integers(1, 3),
            days=st.sampled_from((0, GRACE_DAYS - 1, GRACE_DAYS + 1)),
            moment=PRUNING,
        )
        def prune(self, keep: int, days: int, moment: int | None) -> None:
            self.do(moment, "prune", keep, days)
            if days > GRACE_DAYS:  # only these readers have been warned
                self.pinned = [each for each in self.pinned if each.path.exists()]

        @precondition(lambda self: self.current is not None)
        @rule()
        def open(self) -> None:
            self.pinned.append(open_snapshot(self.paths.root))

        @invariant()
        def what_is_published_is_whole_and_as_built_serially(self) -> None:
            for path in self.paths.features.glob("[!.]*.zarr"):
                assert content(path) == world.serial[path.stem]
                assert faults_of(path, digests=True) == []
                files = [file for file in path.rglob("*") if file.is_file()]
                assert not any(file.stat().st_mode & 0o222 for file in files)

        @invariant()
        def current_is_one_of_them(self) -> None:
            if self.current is not None:
                assert open_snapshot(self.paths.root).name == self.current
                assert read_history(self.paths)[-1].snapshot == self.current

        @invariant()
        def pinned_readers_go_on_reading(self) -> None:
            for snapshot in self.pinned:
                expected = SNAPSHOTS[snapshot.name]
                for array in ("rain_rate", "gamma"):
                    found = snapshot.array("train", array)[:]
                    assert np.array_equal(found, expected.values("train", array))

        def teardown(self) -> None:
            """Whatever happened, a rerun ends as if it had not."""
            if self.built is None:
                return
            assert world.worker.run(None, "build", self.built, [0, 1, 2, 3], True) == self.built
            self.current = self.built
            self.what_is_published_is_whole_and_as_built_serially()
            self.current_is_one_of_them()
            world.worker.run(None, "prune", 1, GRACE_DAYS + 1)
            hidden = {path.name for path in self.paths.features.glob(".*")}
            assert not [name for name in hidden if "removed" in name or f"-{self.built}." in name]

    return StoreMachine


def explore(world: World, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine_of(world),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            phases=[Phase.generate],  # shrinking takes minutes; examples are short
        ),
    )


def place_two(world: World) -> StorePaths:
    """Begin a store in which "a" and "b" were published, and "d" is finished."""
    paths = StorePaths(world.root)
    shutil.rmtree(world.root, ignore_errors=True)
    for name in ("a", "b"):
        SNAPSHOTS[name].place(paths, world.kept)
        publish(paths, name)
    SNAPSHOTS["d"].place(paths, world.kept)
    return paths


def look(world: World) -> str:
    """Return what is current, after looking at all that is published."""
    paths = StorePaths(world.root)
    current = open_snapshot(world.root).name
    assert read_history(paths)[-1].snapshot == current
    for path in paths.features.glob("[!.]*.zarr"):
        assert content(path) == world.serial[path.stem]
    return current


def test_switching_current_is_killed_at_every_step(world: World) -> None:
    paths = place_two(world)
    for moment in count():
        answer = world.worker.run(moment, "roll_back")
        assert look(world) == answer or answer == "killed"
        if current_name(paths) == "a":
            publish(paths, "b")
        if answer != "killed":
            break
    assert moment > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [("publish", "d"), ("prune", 1, GRACE_DAYS + 1)], ids=["publishing", "pruning"]
)
def test_a_command_is_killed_at_many_steps(world: World, command: tuple[Any, ...]) -> None:
    for moment in count(step=8):
        place_two(world)
        if world.worker.run(moment, *command) != "killed":
            break
        assert look(world) in ("b", "d")
        assert not isinstance(world.worker.run(None, *command), dict)
        look(world)
    assert moment > 100


def test_the_store_survives_everything(world: World) -> None:
    explore(world, examples=8, steps=8)


@pytest.mark.slow
def test_the_store_survives_everything_for_longer(world: World) -> None:
    explore(world, examples=40, steps=20)
