"""The frame table: what each column counts, on made-up fields and on real files."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from minkgen.grid import TEST_2KM
from minkgen.opera.keys import parse_key
from minkgen.opera.odim import Composite, read_composite
from minkgen.store.frames import FRAME_SCHEMA, describe_frame, read_frames, write_frames
from minkgen.store.layout import StorePaths

NOON = datetime(2024, 7, 1, 12, tzinfo=UTC)
SHAPE = TEST_2KM.shape


def describe(values: npt.NDArray[np.float32], time: datetime = NOON) -> dict[str, Any]:
    window = (time, time)
    composite = Composite(
        "RATE", "NIMBUS", "2.4", TEST_2KM, time, window, values, None, "ORG:247", ("deess",), 2
    )
    return describe_frame(composite, "ab")


def test_every_column_has_its_value() -> None:
    values = np.full(SHAPE, np.nan, np.float32)
    values[:10] = 0.0
    values[0, :3] = 30.99
    values[1, :4] = 31.0
    values[2, :4] = 48.62
    values[3, :2], values[4, 0], values[5, 0], values[5, 1] = 150.0, 150.01, 500.0, 500.01
    found = describe(values)
    assert list(found) == FRAME_SCHEMA.names
    covered = 10 * SHAPE[1]
    expected = {
        "covered_fraction": covered / (SHAPE[0] * SHAPE[1]),
        "wet_fraction": 16 / covered,
        "max_rate": np.float32(500.01),
        "pixels_from_31": 13,
        "pixels_above_150": 3,
        "pixels_above_500": 1,
        "most_repeated_rate": 31.0,  # as often as 48.62, and lower
        "most_repeated_count": 4,
        "not_finite": 2,
        "radars": ["deess"],
        "sha256": "ab",
    }
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_frame_without_rain_or_coverage_repeats_no_rate(value: float, tmp_path: Path) -> None:
    found = describe(np.full(SHAPE, value, np.float32))
    assert found["most_repeated_count"] == found["pixels_from_31"] == found["wet_fraction"] == 0
    assert math.isnan(found["most_repeated_rate"])
    assert math.isnan(found["max_rate"]) == math.isnan(value)
    paths = StorePaths(tmp_path)
    write_frames(paths, NOON.date(), [found])
    again = read_frames(paths, NOON.date())[NOON]
    assert math.isnan(again["most_repeated_rate"])
    assert again["covered_fraction"] == (0.0 if math.isnan(value) else 1.0)


def test_rows_are_kept_in_the_order_of_their_times(tmp_path: Path) -> None:
    paths, values = StorePaths(tmp_path), np.zeros(SHAPE, np.float32)
    rows = [describe(values, NOON.replace(hour=hour)) for hour in (9, 3, 6)]
    write_frames(paths, NOON.date(), rows)
    first = paths.frames(NOON.date()).read_bytes()
    write_frames(paths, NOON.date(), rows[::-1])
    assert paths.frames(NOON.date()).read_bytes() == first
    assert [time.hour for time in read_frames(paths, NOON.date())] == [3, 6, 9]
    assert read_frames(paths, date(2024, 7, 2)) == {}


@pytest.mark.parametrize(
    ("name", "radars"),
    [("OPERA@20180824T1800@0@QIND_RATE.h5", 153), ("OPERA@20241126T0200@0@RATE.h5", 159)],
)
def test_a_real_frame_is_described_as_its_raw_values_say(
    real_archive: Path, name: str, radars: int
) -> None:
    path = next(real_archive.rglob(name))
    found = describe_frame(read_composite(path, parse_key(name)), "")
    with h5py.File(path) as file:
        raw = file["dataset1/data1/data"][:]
    covered = raw != -9999000
    rates = np.where(raw > 0, raw, 0.0)
    heavy, counts = np.unique(np.round(rates[rates >= 31], 2), return_counts=True)
    assert found["covered_fraction"] == covered.mean()
    assert found["wet_fraction"] == pytest.approx(np.count_nonzero(rates) / covered.sum())
    assert found["max_rate"] == np.float32(rates.max())
    assert found["pixels_from_31"] == counts.sum()
    assert found["pixels_above_150"] == np.count_nonzero(rates > 150)
    assert found["most_repeated_count"] == counts.max()
    assert found["most_repeated_rate"] == np.float32(heavy[counts.argmax()])
    assert len(found["radars"]) == radars
    assert found["not_finite"] == 0
