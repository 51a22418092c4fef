"""The composites of a store: whole shards, a fixed time axis, NaN where nothing was written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from minkgen.errors import StoreError
from minkgen.grid import OPERA_2KM, TEST_2KM
from minkgen.store.composites import Composites, create_composites, open_composites
from minkgen.store.files import read_json, write_json
from minkgen.store.layout import StorePaths

DAY = date(2024, 2, 29)


@pytest.fixture
def composites(tmp_path: Path) -> Composites:
    return create_composites(StorePaths(tmp_path / "a store ä"), TEST_2KM, (2024, 2024))


def shard(value: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    frames = np.full((24, *TEST_2KM.shape), np.nan, np.float32)
    frames[::2] = value
    return frames


def test_a_written_shard_reads_back_and_the_rest_is_nan(composites: Composites) -> None:
    times = composites.shards_of(DAY)[1]
    composites.write_shard("rain_rate", times, shard(1.5))
    assert (composites.read("rain_rate", times[0])[0] == 1.5).all()
    assert np.isnan(composites.read("rain_rate", times[1])).all()
    assert np.isnan(composites.read("rain_rate", times[0] - timedelta(minutes=15))).all()
    assert np.isnan(composites.read("quality", times[0])).all()


def test_the_time_axis_spans_whole_years_with_units_and_coordinates(
    composites: Composites,
) -> None:
    times = composites.shards_of(DAY)[0]
    composites.write_shard("rain_rate", times, shard(2.5))
    dataset = xr.open_zarr(composites.paths.composites, group="rain_rate")
    assert dataset.sizes == {"time": 366 * 96, "y": 512, "x": 640}
    assert dataset["time"].values[0] == np.datetime64("2024-01-01T00:00")
    assert dataset["time"].values[-1] == np.datetime64("2024-12-31T23:45")
    assert dataset["rain_rate"].attrs["units"] == "mm/h"
    assert "PROJCRS" in dataset["spatial_ref"].attrs["crs_wkt"]
    assert (np.diff(dataset["y"]) < 0).all()
    assert (dataset["rain_rate"].sel(time="2024-02-29T00:00") == 2.5).all()


def test_a_day_owns_its_shards(composites: Composites) -> None:
    seen = set()
    for day in (DAY, DAY + timedelta(days=1)):
        for times in composites.shards_of(day):
            assert {time.date() for time in times} == {day}
            slots = [composites.slot(time) for time in times]
            assert slots == list(range(slots[0], slots[0] + 24))
            assert slots[0] % 24 == 0
            seen.add(slots[0])
    assert len(seen) == 8


def test_less_than_a_shard_is_refused(composites: Composites) -> None:
    times = composites.shards_of(DAY)[0]
    with pytest.raises(StoreError, match="only whole shards"):
        composites.write_shard("rain_rate", times[:3], shard(1.0)[:3])
    with pytest.raises(StoreError, match="only whole shards"):
        composites.write_shard("rain_rate", times[1:] + times[:1], shard(1.0))


def test_years_are_appended_and_data_stay(composites: Composites) -> None:
    times = composites.shards_of(DAY)[0]
    composites.write_shard("rain_rate", times, shard(1.0))
    longer = create_composites(composites.paths, TEST_2KM, (2025, 2025))
    assert (longer.first_year, longer.last_year) == (2024, 2025)
    assert (longer.read("rain_rate", times[0]) == 1.0).all()
    late = datetime(2025, 12, 31, 18, tzinfo=UTC)
    longer.write_shard("rain_rate", longer.shards_of(late.date())[3], shard(3.0))
    dataset = xr.open_zarr(composites.paths.composites, group="rain_rate")
    assert dataset.sizes["time"] == (366 + 365) * 96
    assert (dataset["rain_rate"].sel(time="2025-12-31T18:00") == 3.0).all()


def test_years_are_never_put_in_front(composites: Composites) -> None:
    with pytest.raises(StoreError, match="begins later"):
        create_composites(composites.paths, TEST_2KM, (2023, 2024))


def test_a_store_of_another_grid_is_refused_with_what_differs(composites: Composites) -> None:
    with pytest.raises(StoreError, match="made by another recipe") as caught:
        create_composites(composites.paths, OPERA_2KM, (2024, 2024))
    assert "grid: test_2km" in str(caught.value)
    assert "grid: opera_2km" in str(caught.value)


def test_an_unknown_layout_is_refused(composites: Composites) -> None:
    identity = read_json(composites.paths.identity)
    write_json(composites.paths.identity, identity | {"layout_version": 99})
    with pytest.raises(StoreError, match="unknown layout"):
        open_composites(composites.paths)
    with pytest.raises(StoreError, match="layout_version: 99"):
        create_composites(composites.paths, TEST_2KM, (2024, 2024))


def test_opening_what_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="minkgen ingest"):
        open_composites(StorePaths(tmp_path))


def test_an_interrupted_creation_is_taken_up(composites: Composites) -> None:
    composites.paths.identity.unlink()
    again = create_composites(composites.paths, TEST_2KM, (2024, 2024))
    assert open_composites(again.paths) == again
