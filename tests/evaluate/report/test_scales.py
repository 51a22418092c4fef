"""Axes: every value has its place, and ticks are round, apart, and inside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minkgen.evaluate.report.scales import Kind, fit_scale, time_ticks

KINDS: tuple[Kind, ...] = ("linear", "log", "log1p")


def labels(kind: Kind, values: list[float], gap: float = 40.0) -> list[str]:
    return [tick.label for tick in fit_scale(kind, np.array(values), 0.0, 400.0).ticks(gap)]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("linear", [0.0, 1.0], [f"{k / 10:.1f}" for k in range(11)]),
        ("linear", [0.0, 3.0], ["0", "1", "2", "3"]),
        ("linear", [-0.5, 0.5], [f"{k / 10:.1f}".replace("-", "−") for k in range(-5, 6)]),
        (
            "linear",
            [0.0, 6e6],
            ["0", "1.00·10⁶", "2.00·10⁶", "3.00·10⁶", "4.00·10⁶", "5.00·10⁶", "6.00·10⁶"],
        ),
        ("log", [0.01, 100.0], ["0.01", "0.1", "1", "10", "100"]),
        ("log", [1e-6, 1e6], ["10⁻⁶", "10⁻⁴", "0.01", "1", "100", "10\u202f000", "10⁶"]),
        ("log", [float(np.float32(0.1)), 100.0], ["0.1", "1", "10", "100"]),
        ("log", [0.2, 5.0], ["0.2", "0.5", "1", "2", "5"]),
        ("log", [2.0, 9.0], ["2", "4", "6", "8"]),
        ("log1p", [0.0, 1000.0], ["0", "1", "10", "100", "1000"]),
        ("log1p", [0.0, 3.0], ["0", "1", "2", "3"]),
        ("log1p", [0.0, 0.3], ["0.00", "0.05", "0.10", "0.15", "0.20", "0.25", "0.30"]),
    ],
)
def test_ticks_read_well(kind: Kind, values: list[float], expected: list[str]) -> None:
    assert labels(kind, values) == expected


@given(
    kind=st.sampled_from(KINDS),
    values=st.lists(st.floats(allow_subnormal=False, min_value=-1e9, max_value=1e9), max_size=9),
)
def test_every_value_is_seen_and_every_tick_is_inside(kind: Kind, values: list[float]) -> None:
    scale = fit_scale(kind, np.array(values, float), 100.0, 500.0)
    places = scale.place(np.array(values, float))
    has_place = {"linear": -np.inf, "log": np.nextafter(0.0, 1.0), "log1p": 0.0}[kind]
    assert (np.isfinite(places) == (np.array(values, float) >= has_place)).all()
    seen = places[np.isfinite(places)]
    assert ((seen >= 99.9) & (seen <= 500.1)).all()
    ticks = scale.ticks(40.0)
    assert all(99.0 <= tick.place <= 501.0 for tick in ticks)
    assert len({tick.label for tick in ticks}) == len(ticks)
    assert all(b.place - a.place > 39.0 for a, b in pairwise(ticks))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("values", [[], [np.nan, np.inf], [0.0], [5.0], [5.0, 5.0]])
def test_an_axis_of_little_or_nothing_still_has_a_length(kind: Kind, values: list[float]) -> None:
    scale = fit_scale(kind, np.array(values, float), 0.0, 400.0)
    assert scale.high > scale.low
    assert scale.ticks(40.0)


def test_counts_that_start_near_nothing_start_at_0() -> None:
    assert fit_scale("linear", np.array([10.0, 90.0]), 0.0, 1.0).low == 0.0
    assert fit_scale("linear", np.array([50.0, 90.0]), 0.0, 1.0).low == 50.0


@pytest.mark.parametrize(
    ("days", "first", "last"),
    [
        (0.1, "00:00", "02:00"),
        (3, "2024-07-01", "2024-07-04"),
        (40, "2024-07-04", "2024-08-08"),
        (400, "2024-07", "2025-07"),
        (14 * 365.25, "2026", "2038"),
    ],
)
def test_times_are_round(days: float, first: str, last: str) -> None:
    start = datetime(2024, 7, 1, tzinfo=UTC)
    ticks = time_ticks(start, start + timedelta(days=days), room=7)
    assert [ticks[0][1], ticks[-1][1]] == ([first, last] if days >= 1 else ["2024-07-01", last])
    assert 2 <= len(ticks) <= 8
    assert all(start <= time <= start + timedelta(days=days) for time, _ in ticks)
