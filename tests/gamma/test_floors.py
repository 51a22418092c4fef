"""Lifetimes and the floors that are estimated from them."""

from __future__ import annotations

import json
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minkgen.errors import EmptySplitError, InputError
from minkgen.gamma.floors import (
    Floor,
    LifetimeHistogram,
    elbow_floor,
    given_floor,
    percentile_floor,
)

STEPS = st.lists(st.integers(1, 500), min_size=1, max_size=80)


def _pairs(steps: npt.ArrayLike, deaths: npt.ArrayLike = 0.0) -> npt.NDArray[np.float32]:
    """Make pairs whose lifetimes are these numbers of steps of 0.01 mm/h."""
    lifetimes = np.asarray(steps, np.float64) / 100
    deaths = np.broadcast_to(np.asarray(deaths, np.float64), lifetimes.shape)
    return np.stack([lifetimes + deaths, deaths], axis=-1).astype(np.float32)


def _histogram(*steps: int) -> LifetimeHistogram:
    return LifetimeHistogram.from_pairs(_pairs(list(steps)))


def test_lifetimes_are_rounded_to_steps() -> None:
    """Births and deaths on the 0.01 grid give the same step whatever the noise of float32."""
    deaths = np.arange(0, 20000) / 100
    histogram = LifetimeHistogram.from_pairs(_pairs(np.full(deaths.shape, 340), deaths))
    assert histogram == LifetimeHistogram(np.array([340]), np.array([20000]))


def test_lifetimes_that_round_to_zero_are_left_out() -> None:
    histogram = LifetimeHistogram.from_pairs(_pairs([0.4, 0.6, 1.4]))
    assert histogram == LifetimeHistogram(np.array([1]), np.array([2]))
    assert LifetimeHistogram.from_pairs(np.empty((0, 2), np.float32)).total == 0


@settings(deadline=None)
@given(parts=st.lists(STEPS, min_size=1, max_size=4))
def test_merged_parts_are_the_whole(parts: list[list[int]]) -> None:
    first, *others = [_histogram(*part) for part in parts]
    assert first.merge(*others) == _histogram(*chain.from_iterable(parts))


@pytest.mark.parametrize(
    "pairs", [np.ones((3, 2)), np.ones(2, np.float32), np.ones((2, 3), np.float32)]
)
def test_what_are_no_pairs_is_refused(pairs: Any) -> None:
    with pytest.raises(InputError, match="pairs of birth and death"):
        LifetimeHistogram.from_pairs(pairs)


@settings(deadline=None)
@given(steps=STEPS, percentile=st.integers(0, 100))
def test_percentile_floor_is_the_inverted_cdf_and_half_a_step(
    steps: list[int], percentile: int
) -> None:
    floor = percentile_floor(_histogram(*steps), percentile)
    k_star = np.quantile(steps, percentile / 100, method="inverted_cdf")
    assert floor == Floor((k_star + 0.5) / 100, "percentile", int(k_star), percentile)
    at_most = np.mean(np.array(steps) <= k_star)
    assert at_most >= percentile / 100


def test_no_lifetime_on_the_grid_is_near_the_floor() -> None:
    floor = percentile_floor(_histogram(*range(1, 400)))
    deaths = np.random.default_rng(1).integers(0, 10_000, 5000) / 100
    for k in (floor.k_star or 0, (floor.k_star or 0) + 1):
        pairs = _pairs(np.full(deaths.shape, k), deaths).astype(np.float64)
        outlives = pairs[:, 0] - pairs[:, 1] > floor.epsilon
        assert (outlives == (k != floor.k_star)).all()


def test_percentiles_are_exact_decimals() -> None:
    histogram = _histogram(*range(1, 1001))
    assert [percentile_floor(histogram, p).k_star for p in (0.1, 5.7, 95, 99.9)] == [
        1,
        57,
        950,
        999,
    ]


@pytest.mark.parametrize("percentile", [-1, 101, np.nan])
def test_percentiles_out_of_range_are_refused(percentile: float) -> None:
    with pytest.raises(InputError, match="out of range"):
        percentile_floor(_histogram(1, 2), percentile)


class TestElbow:
    @staticmethod
    def _of(counts: dict[int, int]) -> Floor:
        return elbow_floor(
            LifetimeHistogram(np.array(list(counts)), np.array(list(counts.values()), np.int64))
        )

    def test_two_slopes_meet_at_the_elbow(self) -> None:
        """Log counts fall by 1 a step up to step 6 and by 0.05 a step after it."""
        k = np.arange(1, 60)
        log_counts = 12 - np.minimum(k, 6) - 0.05 * np.maximum(k - 6, 0)
        counts = np.round(np.exp(log_counts)).astype(int)
        floor = self._of(dict(zip(k.tolist(), counts.tolist(), strict=True)))
        assert floor == Floor(6.5 * 0.01, "elbow", 6)

    def test_lifetimes_that_do_not_occur_are_passed_over(self) -> None:
        assert self._of({1: 1000, 3: 20, 100: 10, 900: 1}).k_star == 3

    def test_the_shortest_of_equals_is_taken(self) -> None:
        """Both inner points lie on a parallel to the chord, in exact powers."""
        assert self._of({1: 64, 2: 8, 3: 4, 4: 2}).k_star == 2

    @pytest.mark.parametrize(
        "counts", [{3: 5}, {1: 9, 2: 1}, {1: 5, 2: 5, 3: 5}, {1: 5, 2: 9, 3: 5}]
    )
    def test_a_histogram_without_elbow_is_refused(self, counts: dict[int, int]) -> None:
        with pytest.raises(InputError, match="no elbow"):
            self._of(counts)


@pytest.mark.parametrize("estimate", [percentile_floor, elbow_floor])
def test_no_pairs_give_no_floor(estimate: Any) -> None:
    with pytest.raises(EmptySplitError, match="no persistence pair"):
        estimate(_histogram())


@pytest.mark.parametrize("epsilon", [-0.1, np.nan, np.inf])
def test_unusable_numbers_are_refused(epsilon: float) -> None:
    with pytest.raises(InputError, match="out of range"):
        given_floor(epsilon)


def test_floors_survive_json() -> None:
    histogram = _histogram(1, 1, 2, 40, 1_300_000)
    for floor in (given_floor(0), percentile_floor(histogram, 99.9), elbow_floor(histogram)):
        assert Floor.from_dict(json.loads(json.dumps(floor.as_dict()))) == floor
