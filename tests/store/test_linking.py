"""Shards of earlier snapshots are shared, and make the same bytes as computing them again."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from minkgen.store.build import create_staging, is_written, parts_of
from minkgen.store.layout import StorePaths
from minkgen.store.linking import link_shards, shard_digests
from minkgen.store.publishing import publish
from tests.store.tiny import Tiny, content

FIRST = Tiny("first")
APPENDED = replace(FIRST, name="appended", test=(200, 201, 202))
RECOVERED = replace(FIRST, name="recovered", train=(*range(0, 34, 2), 33, 34, 36, 38))
RETHRESHOLDED = replace(FIRST, name="rethresholded", gamma=7)


def build(paths: StorePaths, tiny: Tiny) -> tuple[Path, set[str]]:
    """Publish a snapshot that takes from earlier ones what it can."""
    linked = link_shards(paths, create_staging(paths, tiny.plan())).shards
    tiny.write(paths)
    return publish(paths, tiny.name), set(linked)


def build_alone(root: Path, tiny: Tiny, kept: Path) -> Path:
    """Publish a snapshot in a store of its own."""
    tiny.place(StorePaths(root), kept)
    return publish(StorePaths(root), tiny.name)


def shared(first: Path, second: Path) -> set[str]:
    """Return the files that two snapshots share on disk."""
    return {
        name
        for name in content(first)
        if (second / name).exists() and os.path.samefile(first / name, second / name)
    }


def shards(tiny: Tiny, *parts: int) -> set[str]:
    return {
        part.shard(name)
        for index, part in enumerate(tiny.plan().parts())
        if index in parts
        for name in part.arrays
    }


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (APPENDED, {0, 1, 2}),
        (RECOVERED, {0, 2, 3}),
    ],
    ids=["an appended day", "a recovered slot"],
)
def test_unchanged_shards_are_linked(
    tiny_store: StorePaths, kept: Path, tmp_path: Path, second: Tiny, expected: set[int]
) -> None:
    earlier = build_alone(tiny_store.root, FIRST, kept)
    before = content(earlier)
    later, linked = build(tiny_store, second)
    assert len(second.plan().parts()) == 4
    assert linked == shared(earlier, later) == shards(second, *expected)
    from_scratch = build_alone(tmp_path / "other", second, kept)
    assert content(later) == content(from_scratch)
    assert content(earlier) == before


def test_new_thresholds_leave_the_rain_rates(tiny_store: StorePaths, kept: Path) -> None:
    build_alone(tiny_store.root, FIRST, kept)
    _, linked = build(tiny_store, RETHRESHOLDED)
    assert linked == {shard for shard in shards(FIRST, 0, 1, 2, 3) if "gamma" not in shard}


def test_what_a_linked_part_lacks_is_written(
    tiny_store: StorePaths, kept: Path, tmp_path: Path
) -> None:
    build_alone(tiny_store.root, FIRST, kept)
    staging = create_staging(tiny_store, RETHRESHOLDED.plan())
    link_shards(tiny_store, staging)
    assert not any(is_written(staging, part) for part in RETHRESHOLDED.plan().parts())
    RETHRESHOLDED.write(tiny_store)
    from_scratch = build_alone(tmp_path / "other", RETHRESHOLDED, kept)
    assert content(publish(tiny_store, RETHRESHOLDED.name)) == content(from_scratch)


def test_any_published_snapshot_will_do(tiny_store: StorePaths, kept: Path) -> None:
    first = build_alone(tiny_store.root, FIRST, kept)
    build_alone(tiny_store.root, replace(FIRST, name="other", rain=1), kept)
    again, _ = build(tiny_store, APPENDED)
    assert shared(first, again) == shards(FIRST, 0, 1, 2)


@pytest.mark.parametrize("damage", ["shorter", "changed", "gone"])
def test_a_damaged_shard_is_not_shared(
    tiny_store: StorePaths, kept: Path, tmp_path: Path, damage: str
) -> None:
    earlier = build_alone(tiny_store.root, FIRST, kept)
    victim = earlier / "validation/gamma/c/0/0/0"
    data = victim.read_bytes()
    victim.unlink()
    if damage == "shorter":
        victim.write_bytes(data[:-1])
    elif damage == "changed":
        victim.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    staging = create_staging(tiny_store, APPENDED.plan())
    found = link_shards(tiny_store, staging)
    assert found.damaged == (victim,)
    assert found.shards == shards(APPENDED, 0, 1, 2) - {"validation/gamma/c/0/0/0"}
    APPENDED.write(tiny_store)
    from_scratch = build_alone(tmp_path / "other", APPENDED, kept)
    assert content(publish(tiny_store, APPENDED.name)) == content(from_scratch)


def test_where_links_are_impossible_files_are_copied(
    tiny_store: StorePaths, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = build_alone(tiny_store.root, FIRST, kept)
    link = os.link

    def on_other_file_system(source: Path, target: Path) -> None:
        if source.is_relative_to(earlier):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        link(source, target)

    monkeypatch.setattr(os, "link", on_other_file_system)
    later, linked = build(tiny_store, APPENDED)
    assert linked == shards(APPENDED, 0, 1, 2)
    assert shared(earlier, later) == set()
    assert not any(path.stat().st_mode & 0o222 for path in later.rglob("*") if path.is_file())


def test_everything_that_decides_a_shard_is_in_its_digest() -> None:
    rows, hours = FIRST.rows(), (*FIRST.train, *FIRST.validation, *FIRST.test)
    times = [table["time"][index].as_py() for table in rows.values() for index in range(len(table))]
    inputs = dict(zip(times, map(str, hours), strict=True))
    arrays = ("rain_rate", "gamma", "mixup_rain_rate", "mixup_gamma")
    choices = {array: array for array in arrays}
    usual = shard_digests(rows, inputs, choices)
    assert (
        len(usual) == len(set(usual.values())) == sum(len(part.arrays) for part in parts_of(rows))
    )

    def changed(found: dict[str, str]) -> set[str]:
        return {shard for shard in usual if usual[shard] != found[shard]}

    other_input = inputs | {times[0]: "another file"}
    assert changed(shard_digests(rows, other_input, choices)) == {
        part.shard(name) for part in parts_of(rows)[:1] for name in part.arrays
    }
    other_choice = choices | {"gamma": "other thresholds"}
    assert changed(shard_digests(rows, inputs, other_choice)) == {
        part.shard("gamma") for part in parts_of(rows)
    }
    for column in ("row", "column"):
        position = rows["test"].schema.get_field_index(column)
        moved = rows["test"].set_column(position, column, pa.array([7, 8], "int32"))
        found = shard_digests(rows | {"test": moved}, inputs, choices)
        assert changed(found) == {"test/rain_rate/c/0/0/0", "test/gamma/c/0/0/0"}
