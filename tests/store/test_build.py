"""Building and reading snapshots: nothing is published unless it is whole."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import minkgen
from minkgen.errors import StoreError
from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.gamma.thresholds import physical_thresholds
from minkgen.grid import TEST_2KM
from minkgen.store import build
from minkgen.store.build import SnapshotPlan, create_staging, is_written, write_part
from minkgen.store.layout import LAYOUT_VERSION, StorePaths
from minkgen.store.publishing import publish
from minkgen.store.snapshot import open_features, open_snapshot
from minkgen.tiles.eligibility import FrameTiles
from minkgen.tiles.table import frame_rows, merge_rows

SIZE = 16
START = datetime(2024, 7, 1, tzinfo=UTC)


def plan(name: str = "small-0123", **metadata: Any) -> SnapshotPlan:
    """Return a plan of 20 + 3 + 2 samples of 16 x 16 pixels."""
    thresholds = physical_thresholds([0.1, 1.0, 10.0])
    tables = {}
    for split, count in (("train", 20), ("validation", 3), ("test", 2)):
        corners = np.arange(count, dtype=np.int32)
        tiles = FrameTiles(
            corners, corners * 2, np.ones(count), corners / 100, corners.astype(np.float32)
        )
        tables[split] = merge_rows(
            [frame_rows(START + timedelta(hours=count), "NIMBUS_RATE", tiles)]
        )
    root = {"layout_version": LAYOUT_VERSION, "hash": "0123", "attribution": "none", **metadata}
    return SnapshotPlan(name, root, tables, TEST_2KM, SIZE, thresholds)


def values(shape: tuple[int, ...], seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).random(shape, np.float32)


def fill(staging: Path, of: SnapshotPlan) -> None:
    for part in of.parts():
        for number, name in enumerate(part.arrays):
            inner = (8, 3) if name.endswith("gamma") else (SIZE, SIZE)
            write_part(staging, part, name, values((part.count, *inner), number))


@pytest.fixture
def paths(tmp_path: Path) -> StorePaths:
    return StorePaths(tmp_path / "store")


def test_a_snapshot_opens_in_xarray_with_units_and_coordinates(paths: StorePaths) -> None:
    staging = create_staging(paths, plan())
    fill(staging, plan())
    target = publish(paths, plan().name)
    dataset = xr.open_zarr(target, group="train")
    assert dataset["rain_rate"].dims == ("sample", "y", "x")
    assert dataset["gamma"].dims == ("sample", "functional", "threshold")
    assert dataset["functional"].values.tolist() == list(FUNCTIONALS)
    assert dataset["threshold"].values.tolist() == [np.float32(0.1), 1.0, 10.0]
    assert dataset["threshold"].attrs["units"] == dataset["rain_rate"].attrs["units"] == "mm/h"
    assert dataset["y"].values[:2].tolist() == [0.0, -2000.0]
    assert dataset["x"].values[:2].tolist() == [0.0, 2000.0]
    assert dataset["time"].values[0] == np.datetime64("2024-07-01T20:00")
    assert dataset["y0"].values[3] == TEST_2KM.y[3]
    assert dataset["x0"].values[3] == TEST_2KM.x[6]
    assert dataset["product"].values[0] == "NIMBUS_RATE"
    assert dataset["wet"].values.tolist() == [False] + [True] * 19
    assert np.array_equal(dataset["rain_rate"], values((20, SIZE, SIZE), 0))
    assert np.array_equal(dataset["mixup_gamma"], values((20, 8, 3), 3))
    assert "PROJCRS" in dataset["spatial_ref"].attrs["crs_wkt"]
    assert "mixup_gamma" not in xr.open_zarr(target, group="test")


def test_current_is_resolved_once(paths: StorePaths) -> None:
    for name in ("small-0123", "small-4567"):
        staging = create_staging(paths, plan(name))
        fill(staging, plan(name))
        publish(paths, name)
        if name == "small-0123":
            pinned = open_snapshot(paths.root)
            lazy = minkgen.open_features(paths.root, "test")
    assert pinned.name == "small-0123"
    assert open_snapshot(paths.root).name == "small-4567"
    assert open_snapshot(paths.root, "small-0123").path == pinned.path
    assert os.readlink(paths.current) == "small-4567.zarr"
    assert np.array_equal(lazy["rain_rate"], values((2, SIZE, SIZE), 0))


def test_published_files_cannot_be_written(paths: StorePaths) -> None:
    staging = create_staging(paths, plan())
    fill(staging, plan())
    target = publish(paths, plan().name)
    files = [path for path in target.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert not any(path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP) for path in files)


@pytest.mark.parametrize("array", ["rain_rate", "gamma", "mixup_rain_rate", "mixup_gamma"])
def test_a_missing_shard_is_never_published(paths: StorePaths, array: str) -> None:
    staging = create_staging(paths, plan())
    fill(staging, plan())
    (staging / "train" / array / "c/0/0/0").unlink()
    with pytest.raises(StoreError, match=f"train/{array}/c/0/0/0"):
        publish(paths, plan().name)
    assert not paths.current.exists()


def test_an_interrupted_build_of_the_same_plan_is_taken_up(paths: StorePaths) -> None:
    staging = create_staging(paths, plan())
    first, *others = plan().parts()
    fill(staging, plan())
    (staging / "train/gamma/c/0/0/0").unlink()
    again = create_staging(paths, plan())
    assert again == staging
    assert not is_written(again, first)
    assert all(is_written(again, part) for part in others)


def test_the_build_of_another_plan_or_code_begins_anew(paths: StorePaths) -> None:
    fill(create_staging(paths, plan(code_version="1")), plan())
    staging = create_staging(paths, plan(code_version="2"))
    assert not any(is_written(staging, part) for part in plan().parts())


def test_a_gamma_that_is_not_finite_is_refused(paths: StorePaths) -> None:
    staging = create_staging(paths, plan())
    part = plan().parts()[0]
    gamma = values((20, 8, 3), 0)
    gamma[4, 2, 1] = np.nan
    with pytest.raises(StoreError, match="not finite"):
        write_part(staging, part, "gamma", gamma)
    with pytest.raises(StoreError, match="does not fit"):
        write_part(staging, part, "gamma", gamma[:5])


def test_parts_are_whole_shards(monkeypatch: pytest.MonkeyPatch, paths: StorePaths) -> None:
    monkeypatch.setattr(build, "SAMPLES_PER_SHARD", 16)
    parts = plan().parts()
    assert [(part.split, part.count) for part in parts] == [
        ("train", 16),
        ("train", 4),
        ("validation", 3),
        ("test", 2),
    ]
    staging = create_staging(paths, plan())
    fill(staging, plan())
    target = publish(paths, plan().name)
    stored = xr.open_zarr(target, group="train")["rain_rate"].values
    assert np.array_equal(stored[:16], values((16, SIZE, SIZE), 0))
    assert np.array_equal(stored[16:], values((4, SIZE, SIZE), 0))


def test_what_is_not_there_is_named(paths: StorePaths) -> None:
    with pytest.raises(StoreError, match="no snapshot at all"):
        open_snapshot(paths.root)
    with pytest.raises(StoreError, match="no such split"):
        open_features(paths.root, "training")
    staging = create_staging(paths, plan())
    fill(staging, plan())
    publish(paths, plan().name)
    with pytest.raises(StoreError, match="small-0123"):
        open_snapshot(paths.root, "other")
    with pytest.raises(StoreError, match="no such array"):
        open_snapshot(paths.root).array("test", "mixup_gamma")
    assert open_snapshot(paths.root).rows("train") == 20


def test_an_unknown_layout_is_refused(paths: StorePaths) -> None:
    future = plan(layout_version=99)
    staging = create_staging(paths, future)
    fill(staging, future)
    publish(paths, future.name)
    with pytest.raises(StoreError, match="unknown layout"):
        open_snapshot(paths.root)
