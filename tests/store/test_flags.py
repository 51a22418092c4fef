"""Flags of frames: each rule at its edge, independent of order and of other days, on real files."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minkgen.opera.keys import parse_key
from minkgen.opera.odim import read_composite
from minkgen.recipe import FlagRules
from minkgen.store.flags import flags_of
from minkgen.store.frames import describe_frame, read_frames, write_frames
from minkgen.store.layout import StorePaths

MIDNIGHT = datetime(2024, 7, 1, tzinfo=UTC)
RULES = FlagRules()


def row(quarter: int = 0, **other: Any) -> dict[str, Any]:
    """Return the row of a frame that nothing is wrong with, but for what is given."""
    return {
        "time": MIDNIGHT + timedelta(minutes=15 * quarter),
        "product": "RATE",
        "era": "NIMBUS",
        "covered_fraction": 0.5,
        "max_rate": 90.0,
        "pixels_from_31": 400,
        "most_repeated_rate": float(np.float32(32.5)),
        "most_repeated_count": 60,
        **other,
    }


def flags(**other: Any) -> tuple[str, ...]:
    return flags_of([row(**other)], RULES)[MIDNIGHT]


def test_a_frame_that_nothing_is_wrong_with_has_no_flag() -> None:
    assert flags() == ()


@pytest.mark.parametrize("rate", [48.62, 364.63])
def test_a_ceiling_is_a_known_value_in_many_pixels(rate: float) -> None:
    stored = float(np.float32(rate))
    assert flags(most_repeated_rate=stored, most_repeated_count=25) == ("ceiling",)
    assert flags(most_repeated_rate=stored, most_repeated_count=24) == ()
    assert flags(most_repeated_rate=stored + 0.01, most_repeated_count=25) == ()
    assert flags(most_repeated_rate=stored - 0.01, most_repeated_count=25) == ()


def test_a_spike_is_more_than_rain_reaches() -> None:
    assert flags(max_rate=500.0) == ()
    assert flags(max_rate=500.01) == ("spike",)
    assert flags(max_rate=13_000.0) == ("spike",)


def test_a_repeated_value_fills_half_of_the_heavy_pixels() -> None:
    assert flags(most_repeated_count=200) == ("repeated_value",)
    assert flags(most_repeated_count=199) == ()
    assert flags(pixels_from_31=24, most_repeated_count=24) == ()


def test_a_frame_without_rain_or_coverage_has_no_flag() -> None:
    nothing = float("nan")
    empty = {"most_repeated_rate": nothing, "most_repeated_count": 0, "pixels_from_31": 0}
    assert flags(max_rate=0.0, **empty) == ()
    assert flags(max_rate=nothing, covered_fraction=0.0, **empty) == ()


def test_coverage_drops_below_the_median_of_its_day_product_and_era() -> None:
    rows = [row(quarter) for quarter in range(5)]
    rows[2]["covered_fraction"] = 0.5 * 0.949
    rows[3]["covered_fraction"] = 0.5 * 0.951
    found = flags_of(rows, RULES)
    assert [found[each["time"]] for each in rows] == [(), (), ("coverage_drop",), (), ()]
    for other in ({"era": "ODYSSEY"}, {"product": "ACRR"}, {"quarter": 2 + 96}):
        alone = [*rows[:2], row(**{"quarter": 2, "covered_fraction": 0.1, **other}), *rows[3:]]
        assert not any(flags_of(alone, RULES).values())


def test_a_broken_frame_moves_no_threshold_for_the_others() -> None:
    rows = [row(quarter) for quarter in range(4)] + [row(4, covered_fraction=1.0)]
    assert not any(flags_of(rows, RULES).values())


def test_a_frame_can_have_several_flags_in_the_order_of_the_rules() -> None:
    ceiling = {"most_repeated_rate": 364.63, "most_repeated_count": 40_000}
    found = flags(max_rate=900.0, pixels_from_31=41_000, **ceiling)
    assert found == ("ceiling", "spike", "repeated_value")


def test_a_recipe_can_set_the_parameters() -> None:
    rules = FlagRules.model_validate(
        {
            "ceiling": {"rates_mm_h": [32.5], "pixels": 60},
            "spike": {"above_mm_h": 80},
            "coverage_drop": {"share": 0.001},
            "repeated_value": {"share": 0.15},
        }
    )
    rows = [row(), row(1), row(2, covered_fraction=0.499)]
    everything = ("ceiling", "spike", "coverage_drop", "repeated_value")
    assert flags_of(rows, rules)[rows[2]["time"]] == everything


rows_of_two_days = st.lists(
    st.builds(
        row,
        quarter=st.integers(0, 191),
        era=st.sampled_from(["ODYSSEY", "NIMBUS"]),
        covered_fraction=st.floats(0, 1),
        max_rate=st.floats(0, 2000),
        most_repeated_count=st.integers(0, 400),
    ),
    unique_by=lambda each: each["time"],
    max_size=30,
)


@given(rows=rows_of_two_days, data=st.data())
def test_neither_order_nor_other_days_change_a_flag(
    rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    together = flags_of(rows, RULES)
    assert list(together) == [each["time"] for each in rows]
    assert flags_of(data.draw(st.permutations(rows)), RULES) == together
    apart = {}
    for day in (MIDNIGHT.date(), MIDNIGHT.date() + timedelta(days=1)):
        apart |= flags_of([each for each in rows if each["time"].date() == day], RULES)
    assert apart == together


def test_real_frames_have_spikes_and_no_other_flag(real_archive: Path, tmp_path: Path) -> None:
    """The two frames with a pixel beyond 500 mm/h, through the frame tables on disk."""
    paths = StorePaths(tmp_path)
    found = {}
    for day in (date(2018, 8, 24), date(2024, 11, 26)):
        files = sorted((real_archive / f"{day:%Y/%m/%d}").rglob("*RATE.h5"))
        write_frames(
            paths,
            day,
            [describe_frame(read_composite(file, parse_key(file.name)), "") for file in files],
        )
        found |= flags_of(list(read_frames(paths, day).values()), RULES)
    assert len(found) == 20
    assert {f"{time:%H%M}": raised for time, raised in found.items() if raised} == {
        "1800": ("spike",),
        "1900": ("spike",),
    }
