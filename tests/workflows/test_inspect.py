"""Inspect: every quarter is counted once, nothing damaged is passed over, nothing is written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from minkgen.errors import InputError, StoreError
from minkgen.evaluate.calendar import COLOURS
from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.gamma.thresholds import physical_thresholds
from minkgen.grid import TEST_2KM
from minkgen.store.build import SnapshotPlan, create_staging, write_part
from minkgen.store.composites import create_composites
from minkgen.store.frames import FRAME_SCHEMA, write_frames
from minkgen.store.layout import (
    LAYOUT_VERSION,
    OPERA_ATTRIBUTION,
    SYNTHETIC_ATTRIBUTION,
    StorePaths,
)
from minkgen.store.ledger import DayLedger, Slot, State, write_ledger
from minkgen.store.publishing import publish
from minkgen.tiles.eligibility import FrameTiles
from minkgen.tiles.table import frame_rows
from minkgen.workflows.inspect import UNKNOWN_ERA, draw_report, inspect_store

DAY = date(2024, 7, 5)
START = datetime(2024, 7, 5, tzinfo=UTC)
CHECKED = "2024-07-06T00:00:00Z"
SIZE = 16


def at(hour: int, minute: int = 0) -> datetime:
    return START.replace(hour=hour, minute=minute)


def row(when: datetime, era: str = "ODYSSEY", **columns: Any) -> dict[str, Any]:
    return {
        "time": when,
        "product": "RATE",
        "era": era,
        "source": "ORG:247",
        "covered_fraction": 0.6,
        "max_rate": 40.0,
        "pixels_from_31": 3,
        "most_repeated_rate": 31.0,
        "most_repeated_count": 1,
        "radars": ["deess"],
        **columns,
    }


def keep(paths: StorePaths, states: Mapping[datetime, State]) -> None:
    day = next(iter(states)).date()
    slots = {
        when: Slot(state, 1, CHECKED, reason=None if state == "ok" else f"is {state}")
        for when, state in states.items()
    }
    write_ledger(paths, DayLedger(day, slots))


@pytest.fixture
def paths(tmp_path: Path) -> StorePaths:
    """Return a store whose time axis is there, and nothing else."""
    paths = StorePaths(tmp_path / "store")
    create_composites(paths, TEST_2KM, (2024, 2024))
    return paths


@pytest.fixture
def store(paths: StorePaths) -> Path:
    """Return a store with the day on which the eras change, and one two days later."""
    keep(
        paths,
        {at(0): "ok", at(7, 45): "ok", at(8): "ok", at(9): "absent", at(9, 15): "failed"}
        | {at(23, 45): "ok", at(12): "corrupt"},
    )
    rows = [
        row(at(0)),
        row(at(7, 45), max_rate=700.0, covered_fraction=0.3),
        row(at(8), "NIMBUS"),
        row(at(9, 15), "NIMBUS", max_rate=700.0),  # of a slot that is not ok any more
    ]
    write_frames(paths, DAY, rows)
    keep(paths, {at(6) + timedelta(days=2): "absent"})
    return paths.root


def test_slots_are_counted_by_state_and_era(store: Path) -> None:
    report = inspect_store(store)
    assert (report.grid, report.product, report.years) == ("test_2km", "RATE", (2024, 2024))
    assert report.states() == {"ok": 4, "absent": 2, "failed": 1, "corrupt": 1}
    assert report.eras() == {"ODYSSEY": 2, "NIMBUS": 1, UNKNOWN_ERA: 1}
    assert report.asked() == (at(0), at(6) + timedelta(days=2))
    assert [slot.reason for slot in report.days[0].slots.values()] == [
        *(None, None, None, "is absent", "is failed", "is corrupt", None)
    ]


def test_flags_are_those_of_frames_that_are_ok(store: Path) -> None:
    report = inspect_store(store)
    assert report.days[0].flags == {at(7, 45): ("spike", "coverage_drop")}
    assert report.flags() == {"ceiling": 0, "spike": 1, "coverage_drop": 1, "repeated_value": 0}


def test_a_day_without_a_ledger_is_in_the_calendar(store: Path) -> None:
    report = inspect_store(store)
    assert list(report.calendar()) == [DAY + timedelta(days=index) for index in range(3)]
    assert [known is None for known in report.calendar().values()] == [False, True, False]


def test_a_store_that_nobody_filled(paths: StorePaths, tmp_path: Path) -> None:
    report = inspect_store(paths.root)
    assert report.states() == {"ok": 0, "absent": 0, "failed": 0, "corrupt": 0}
    assert (report.days, report.asked(), report.calendar()) == ((), None, {})
    assert (report.snapshots, report.builds) == ((), ())
    with pytest.raises(StoreError, match="nothing to draw") as raised:
        draw_report(report, tmp_path / "calendar.png")
    assert "minkgen ingest" in str(raised.value)


def test_where_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store here") as raised:
        inspect_store(tmp_path / "none")
    assert "minkgen ingest" in str(raised.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "{",
        '{"slots": {"2024-07-05T12:00": {"state": "ok"}}}',
        '{"slots": {"2024-07-05T12:00": {"state": "fine", "attempts": 1, "checked": "x"}}}',
        '{"slots": {"2024-07-06T12:00": {"state": "ok", "attempts": 1, "checked": "x"}}}',
        '{"slots": {"2024-07-05T12:10": {"state": "ok", "attempts": 1, "checked": "x"}}}',
    ],
    ids=["empty", "cut off", "no attempts", "no state", "of another day", "between quarters"],
)
def test_a_damaged_ledger_is_refused_by_name(store: Path, damaged: str) -> None:
    path = store / "ledger/rain_rate" / f"{DAY}.json"
    path.write_text(damaged, encoding="utf-8")
    with pytest.raises(StoreError, match="damaged") as raised:
        inspect_store(store)
    assert raised.value.where == path


def test_a_stranger_among_the_ledgers_is_refused_but_a_file_on_its_way_is_not(store: Path) -> None:
    (store / "ledger/rain_rate" / f".{DAY}.json.0123.partial").write_text("{", encoding="utf-8")
    assert len(inspect_store(store).days) == 2
    for name in ("notes.json", "20240705.json"):
        stranger = store / "ledger/rain_rate" / name
        stranger.write_text("{}", encoding="utf-8")
        with pytest.raises(StoreError, match="is none") as raised:
            inspect_store(store)
        assert raised.value.where == stranger
        stranger.unlink()


def test_a_damaged_frame_table_is_refused_by_name(store: Path) -> None:
    path = store / "frames/rain_rate" / f"{DAY}.parquet"
    whole = path.read_bytes()
    older = pq.read_table(path).drop_columns(["pixels_from_31"])
    for damage in (b"", whole[: len(whole) // 2], whole[:4] + bytes(200) + whole[204:]):
        path.write_bytes(damage)
        with pytest.raises(StoreError, match="frame table cannot be read") as raised:
            inspect_store(store)
        assert raised.value.where == path
    pq.write_table(older, path)
    with pytest.raises(StoreError, match="frame table cannot be read") as raised:
        inspect_store(store)
    assert "pixels_from_31" in str(raised.value.got)


def plan(name: str) -> SnapshotPlan:
    """Return a plan of 20 + 3 + 2 samples of 16 x 16 pixels."""
    thresholds = physical_thresholds([0.1, 1.0, 10.0])
    tables = {}
    for split, count in (("train", 20), ("validation", 3), ("test", 2)):
        corners = np.arange(count, dtype=np.int32)
        ones = np.ones(count)
        tiles = FrameTiles(corners, corners, ones, ones, ones.astype(np.float32))
        tables[split] = frame_rows(START, "NIMBUS_RATE", tiles)
    metadata = {
        "layout_version": LAYOUT_VERSION,
        "attribution": "none",
        "thresholds": {"values": thresholds.values.tolist()},
    }
    return SnapshotPlan(name, metadata, tables, TEST_2KM, SIZE, thresholds)


def fill(staging: Path, of: SnapshotPlan, parts: int) -> None:
    for part in of.parts()[:parts]:
        for name in part.arrays:
            inner = (len(FUNCTIONALS), 3) if name.endswith("gamma") else (SIZE, SIZE)
            write_part(staging, part, name, np.ones((part.count, *inner), np.float32))


def test_snapshots_and_how_far_a_build_is(paths: StorePaths) -> None:
    for name in ("b-first", "a-second"):
        staging = create_staging(paths, plan(name))
        fill(staging, plan(name), 3)
        publish(paths, name)
    fill(create_staging(paths, plan("c-third")), plan("c-third"), 2)
    (paths.features / ".building-d-fourth.zarr").mkdir()  # its files are being removed
    report = inspect_store(paths.root)
    assert [(found.name, found.current) for found in report.snapshots] == [
        ("a-second", True),
        ("b-first", False),
    ]
    second = report.snapshots[0]
    assert second.rows == {"train": 20, "validation": 3, "test": 2}
    assert second.thresholds == 3
    folder = paths.features / "a-second.zarr"
    assert second.size_bytes == sum(
        len(path.read_bytes()) for path in folder.rglob("*") if path.is_file()
    )
    [build] = report.builds
    assert (build.name, build.parts, build.parts_written) == ("c-third", 3, 2)


def test_the_attribution_follows_the_frames(paths: StorePaths) -> None:
    keep(paths, {at(0): "ok", at(1): "ok"})
    made_up = "ORG:247,CMT:synthetic"
    for sources, expected in (
        (("ORG:247", "ORG:247"), OPERA_ATTRIBUTION),
        ((made_up, made_up), SYNTHETIC_ATTRIBUTION),
        (("ORG:247", made_up), f"{OPERA_ATTRIBUTION}; in part made up"),
    ):
        rows = [row(at(hour), source=source) for hour, source in enumerate(sources)]
        write_frames(paths, DAY, rows)
        assert inspect_store(paths.root).attribution() == expected


def test_nothing_is_written_to_the_store(store: Path, tmp_path: Path) -> None:
    def tree() -> dict[Path, tuple[int, int]]:
        return {
            path: (path.stat().st_mtime_ns, path.stat().st_size)
            for path in [store, *store.rglob("*")]
        }

    before = tree()
    draw_report(inspect_store(store), tmp_path / "calendar.png")
    assert tree() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calendar.png", "store"]


def test_the_picture_shows_states_and_eras(store: Path, tmp_path: Path) -> None:
    draw_report(inspect_store(store), tmp_path / "calendar.png")
    image = imread(tmp_path / "calendar.png")[:, :, :3]
    kinds = {
        kind
        for kind, colour in COLOURS.items()
        if (np.abs(image - to_rgb(colour)).max(axis=2) < 0.005).sum() > 50
    }
    assert kinds == set(COLOURS) - {"CIRRUS", "OWN"}


def test_a_picture_that_cannot_be_written_is_refused(store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="picture cannot be written"):
        draw_report(inspect_store(store), tmp_path / "file" / "calendar.png")


def test_neither_dask_nor_a_network_is_needed(store: Path) -> None:
    code = f"""
import socket, sys
from minkgen.workflows.inspect import inspect_store
def refuse(*_, **__): raise AssertionError("a socket was opened")
socket.socket = refuse
inspect_store({str(store)!r})
print(*sorted({{"dask", "distributed", "torch", "requests", "matplotlib"}} & set(sys.modules)))
"""
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_a_whole_year_is_read(paths: StorePaths) -> None:
    roster = [f"radar{number}" for number in range(150)]
    for path in (paths.ledger(DAY), paths.frames(DAY)):
        path.parent.mkdir(parents=True)
    for index in range(366):
        midnight = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=index)
        times = [midnight + quarter * timedelta(minutes=15) for quarter in range(96)]
        slot = {"state": "ok", "attempts": 1, "checked": CHECKED, "sha256": "0" * 64}
        slots = {f"{when:%FT%R}": slot for when in times}
        paths.ledger(midnight.date()).write_text(json.dumps({"slots": slots}), encoding="utf-8")
        rows = [row(when, radars=roster) for when in times]
        table = pa.Table.from_pylist(rows, schema=FRAME_SCHEMA)
        pq.write_table(table, paths.frames(midnight.date()))
    assert inspect_store(paths.root).states()["ok"] == 366 * 96
