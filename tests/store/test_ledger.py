"""Ledger and frame table: one file a day, replaced as a whole."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from minkgen.errors import StoreError
from minkgen.grid import TEST_2KM
from minkgen.opera.odim import Composite
from minkgen.store.frames import describe_frame, read_frames, write_frames
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import DayLedger, Slot, read_ledger, write_ledger

DAY = date(2024, 7, 1)
NOON = datetime(2024, 7, 1, 12, tzinfo=UTC)


def test_a_ledger_reads_back_as_it_was_written(tmp_path: Path) -> None:
    paths = StorePaths(tmp_path)
    slots = {
        NOON: Slot("ok", 1, "2024-07-02T00:00:00Z", "key", 10, "ab"),
        NOON.replace(hour=11): Slot("corrupt", 2, "2024-07-02T00:00:00Z", reason="damaged"),
    }
    write_ledger(paths, DayLedger(DAY, slots))
    read = read_ledger(paths, DAY)
    assert read == DayLedger(DAY, slots)
    assert read.ok(NOON)
    assert not read.ok(NOON.replace(hour=11))
    assert not read.ok(NOON.replace(hour=13))
    assert (read.count("ok"), read.count("corrupt"), read.count("absent")) == (1, 1, 0)


def test_a_day_nobody_asked_for_is_empty(tmp_path: Path) -> None:
    assert read_ledger(StorePaths(tmp_path), DAY).slots == {}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"slots": {"noon": {}}}', '{"slots": {"2024-07-01T12:00": {}}}']
)
def test_a_damaged_ledger_is_an_error(tmp_path: Path, text: str) -> None:
    paths = StorePaths(tmp_path)
    paths.ledger(DAY).parent.mkdir(parents=True)
    paths.ledger(DAY).write_text(text)
    with pytest.raises(StoreError, match="damaged"):
        read_ledger(paths, DAY)


def composite() -> Composite:
    values = np.zeros(TEST_2KM.shape, np.float32)
    values[:256] = np.nan
    values[300, :10] = 48.62
    values[301, :5] = 31.0
    values[302, 0], values[302, 1], values[303, 0] = 151.0, 600.0, 0.05
    return Composite(
        "RATE",
        "NIMBUS",
        "2.4",
        TEST_2KM,
        NOON,
        (NOON, NOON),
        values,
        None,
        "ORG:247",
        ("deess",),
        2,
    )


def test_a_frame_is_described_by_what_flags_will_need(tmp_path: Path) -> None:
    row = describe_frame(composite(), "ab")
    assert row["covered_fraction"] == 0.5
    assert row["wet_fraction"] == 18 / (256 * 640)
    assert row["max_rate"] == 600.0
    assert (row["pixels_above_150"], row["pixels_above_500"]) == (2, 1)
    assert row["most_repeated_rate"] == np.float32(48.62)
    assert row["most_repeated_count"] == 10
    paths = StorePaths(tmp_path)
    write_frames(paths, DAY, [row])
    read = read_frames(paths, DAY)
    assert read[NOON] == row
    assert read_frames(paths, date(2024, 7, 2)) == {}
