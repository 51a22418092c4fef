"""Threshold grids, their measure, and the exact histogram that they come from."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minkgen.errors import EmptySplitError, InputError
from minkgen.gamma.thresholds import (
    Thresholds,
    ValueHistogram,
    as_thresholds,
    log_thresholds,
    physical_thresholds,
    quantile_thresholds,
)
from minkgen.recipe import DEFAULT_LEVELS

Float32 = npt.NDArray[np.float32]

RATES = hnp.arrays(
    np.float32,
    st.integers(1, 60),
    elements=st.integers(10, 40).map(lambda k: np.float32(k / 100)),
    fill=st.nothing(),
)


def _histogram(*values: float) -> ValueHistogram:
    return ValueHistogram.from_values(np.array(values, np.float32))


class TestValueHistogram:
    @settings(deadline=None)
    @given(parts=st.lists(RATES, min_size=1, max_size=4))
    def test_merged_parts_are_the_whole(self, parts: list[Float32]) -> None:
        whole = ValueHistogram.from_values(np.concatenate(parts))
        first, *others = map(ValueHistogram.from_values, parts)
        assert first.merge(*others) == whole
        assert first.merge(*others[::-1]) == whole
        assert whole.total == sum(part.size for part in parts)

    @settings(deadline=None)
    @given(values=RATES, percent=st.integers(0, 100))
    def test_quantiles_are_numpys_inverted_cdf(self, values: Float32, percent: int) -> None:
        got = ValueHistogram.from_values(values).quantile(percent / 100)
        assert got.dtype == np.float32
        # NumPy decides in floating point; on whole percents of so few values it is right.
        assert got == np.quantile(values, percent / 100, method="inverted_cdf")

    def test_levels_are_exact_decimals(self) -> None:
        """0.07 * 100 is 7.000000000000001 in float64, one rank too high."""
        histogram = _histogram(*range(1, 101))
        for level in range(1, 101):
            assert histogram.quantile(level / 100) == level
        assert histogram.quantile(0) == 1

    def test_billions_of_pixels_are_counted_exactly(self) -> None:
        counts = np.array([2**40, 1, 2**40 - 1], np.int64)
        histogram = ValueHistogram(np.array([1, 2, 3], np.float32), counts)
        assert histogram.total == 2**41
        assert histogram.quantile(0.5) == 1
        assert histogram.merge(histogram).total == 2**42

    def test_negative_zero_is_zero(self) -> None:
        histogram = _histogram(-0.0, 0.0)
        assert not np.signbit(histogram.values).any()

    def test_an_empty_histogram_merges_but_has_no_quantile(self) -> None:
        empty = _histogram()
        assert empty.total == 0
        assert empty.merge(_histogram(1)) == _histogram(1)
        with pytest.raises(InputError, match="empty histogram"):
            empty.quantile(0.5)

    @pytest.mark.parametrize("level", [-0.1, 1.1, np.nan])
    def test_levels_out_of_range_are_refused(self, level: float) -> None:
        with pytest.raises(InputError, match="out of range"):
            _histogram(1, 2).quantile(level)

    @pytest.mark.parametrize("values", [np.ones(2), np.array([1], int)])
    def test_only_float32_is_counted(self, values: Any) -> None:
        with pytest.raises(InputError, match="float32"):
            ValueHistogram.from_values(values)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_missing_values_are_refused(self, value: float) -> None:
        with pytest.raises(InputError, match="cannot be counted"):
            _histogram(1, value)

    @pytest.mark.parametrize(
        ("values", "counts"),
        [
            (np.array([1, 2], np.float32), np.array([1])),
            (np.array([2, 1], np.float32), np.array([1, 1])),
            (np.array([1, 1], np.float32), np.array([1, 1])),
            (np.array([1, np.nan], np.float32), np.array([1, 1])),
            (np.array([1, 2], np.float32), np.array([1, 0])),
            (np.array([1, 2], np.float32), np.array([1.0, 1.0])),
        ],
    )
    def test_what_is_no_histogram_is_refused(self, values: Any, counts: Any) -> None:
        with pytest.raises(InputError, match="histogram"):
            ValueHistogram(values, counts)

    def test_histograms_of_other_kinds_are_not_equal(self) -> None:
        assert _histogram(1) != 1
        assert _histogram(1) != _histogram(1, 1)


class TestSample:
    HISTOGRAM = ValueHistogram(
        np.array([0.1, 0.2, 0.3], np.float32), np.array([5000, 3000, 2000], np.int64)
    )

    @pytest.mark.parametrize("max_pixels", [1, 100, 4999, 5001, 9999])
    def test_a_sample_is_a_part_of_the_whole(self, max_pixels: int) -> None:
        sample = self.HISTOGRAM.sample(max_pixels, seed=5)
        assert sample.total == max_pixels
        drawn = dict(zip(sample.values.tolist(), sample.counts.tolist(), strict=True))
        whole = dict(
            zip(self.HISTOGRAM.values.tolist(), self.HISTOGRAM.counts.tolist(), strict=True)
        )
        assert all(count <= whole[value] for value, count in drawn.items())

    def test_the_seed_decides(self) -> None:
        first, again, other = (self.HISTOGRAM.sample(1000, seed) for seed in (1, 1, 2))
        assert first == again
        assert first != other

    def test_a_histogram_that_is_small_enough_is_kept(self) -> None:
        assert self.HISTOGRAM.sample(10_000, seed=1) is self.HISTOGRAM

    @pytest.mark.parametrize("max_pixels", [2000, 8000])
    def test_draws_follow_the_hypergeometric_law(self, max_pixels: int) -> None:
        draws = np.array(
            [self.HISTOGRAM.sample(max_pixels, seed).counts for seed in range(400)], np.float64
        )
        share = np.array([0.5, 0.3, 0.2])
        variance = max_pixels * share * (1 - share) * (10_000 - max_pixels) / 9_999
        deviation = (draws.mean(axis=0) - max_pixels * share) / np.sqrt(variance / 400)
        assert (np.abs(deviation) < 4).all()
        np.testing.assert_allclose(draws.var(axis=0), variance, rtol=0.3)

    def test_more_pixels_than_fit_in_memory(self) -> None:
        huge = ValueHistogram(
            np.array([0.1, 0.2], np.float32), np.array([3 * 10**12, 10**12], np.int64)
        )
        sample = huge.sample(10_000, seed=1)
        assert sample.total == 10_000
        assert abs(sample.counts[0] - 7500) < 4 * np.sqrt(10_000 * 0.75 * 0.25)

    def test_an_empty_sample_is_refused(self) -> None:
        with pytest.raises(InputError, match="at least one pixel"):
            self.HISTOGRAM.sample(0, seed=1)


class TestQuantileGrid:
    def test_distinct_levels(self) -> None:
        grid = quantile_thresholds(_histogram(*range(1, 101)), DEFAULT_LEVELS)
        assert grid.kind == "quantile"
        assert grid.values.tolist() == [1, *range(5, 100, 5), 99]
        assert grid.levels is not None
        assert grid.levels.tolist() == list(DEFAULT_LEVELS)
        assert grid.dropped == ()
        assert grid.values.dtype == np.float32

    def test_merged_levels_add_their_weights(self) -> None:
        """Levels 0.2, 0.4, 0.5 fall on 1 and 0.9, 1.0 on 7; the lowest of each is kept."""
        grid = quantile_thresholds(
            _histogram(*[1] * 5, 2, 3, 4, 7, 7), [0.2, 0.4, 0.5, 0.7, 0.9, 1.0]
        )
        assert grid.values.tolist() == [1, 3, 7]
        assert grid.levels is not None
        assert grid.levels.tolist() == [0.2, 0.7, 0.9]
        assert grid.dropped == (0.4, 0.5, 1.0)
        expected = [0.1 + 0.15 + 0.15, 0.2, 0.15 + 0.05]
        np.testing.assert_allclose(grid.measure, expected, rtol=1e-12)

    @settings(deadline=None)
    @given(values=RATES.filter(lambda x: np.unique(x).size > 20))
    def test_weights_sum_to_the_span_of_levels(self, values: Float32) -> None:
        grid = quantile_thresholds(ValueHistogram.from_values(values), DEFAULT_LEVELS)
        np.testing.assert_allclose(grid.measure.sum(), 0.98, rtol=1e-12)
        assert grid.levels is not None
        assert len(grid.levels) + len(grid.dropped) == 21

    def test_a_dry_climatology_is_an_empty_split(self) -> None:
        with pytest.raises(EmptySplitError, match="no wet pixel"):
            quantile_thresholds(_histogram(), DEFAULT_LEVELS)

    def test_a_single_rate_is_no_grid(self) -> None:
        with pytest.raises(InputError, match="two different rates"):
            quantile_thresholds(_histogram(1, 1, 1), DEFAULT_LEVELS)

    def test_rates_must_be_positive(self) -> None:
        with pytest.raises(InputError, match="positive"):
            quantile_thresholds(_histogram(0, 1, 2), DEFAULT_LEVELS)

    @pytest.mark.parametrize("levels", [[0.5, 0.1], [0.1, 0.1, 0.9]])
    def test_levels_must_increase(self, levels: list[float]) -> None:
        with pytest.raises(InputError, match="levels must increase"):
            quantile_thresholds(_histogram(1, 2, 3), levels)


class TestRateGrids:
    def test_given_rates(self) -> None:
        grid = physical_thresholds([0.1, 1, 10])
        assert (grid.kind, grid.levels, grid.dropped) == ("physical", None, ())
        assert grid.values.dtype == np.float32
        half = np.log(10) / 2
        np.testing.assert_allclose(grid.measure, [half, 2 * half, half], rtol=1e-7)

    def test_logarithmic_range(self) -> None:
        grid = log_thresholds(0.1, 50.0, 16)
        assert grid.kind == "log"
        assert (grid.values[0], grid.values[-1]) == (np.float32(0.1), np.float32(50))
        np.testing.assert_allclose(np.diff(np.log(grid.values)), np.log(500) / 15, rtol=1e-5)
        np.testing.assert_allclose(grid.measure.sum(), np.log(500), rtol=1e-7)

    def test_the_measure_integrates_what_is_linear_in_log_rate(self) -> None:
        grid = physical_thresholds([0.1, 0.3, 0.4, 2, 9])
        logs = np.log(grid.values.astype(np.float64))
        exact = (logs[-1] ** 2 - logs[0] ** 2) / 2
        np.testing.assert_allclose(grid.measure @ logs, exact, rtol=1e-12)

    @pytest.mark.parametrize("rates", [[], [1], [2, 1], [0, 1], [1, np.nan], [1, 1 + 1e-12]])
    def test_unusable_rates_are_refused(self, rates: list[float]) -> None:
        with pytest.raises(InputError):
            physical_thresholds(rates)

    @pytest.mark.parametrize(
        "arguments", [(0, 1, 3), (1, 1, 3), (2, 1, 3), (1, np.inf, 3), (np.nan, 1, 3), (1, 2, 1)]
    )
    def test_unusable_ranges_are_refused(self, arguments: tuple[float, float, int]) -> None:
        with pytest.raises(InputError, match="positive range"):
            log_thresholds(*arguments)

    def test_too_many_thresholds_for_float32_are_refused(self) -> None:
        with pytest.raises(InputError, match="same number in float32"):
            log_thresholds(1.0, 1.000001, 100)


@pytest.mark.parametrize(
    "grid",
    [
        quantile_thresholds(_histogram(0.1, 0.1, 0.13, 0.7, 1 / 3, 1e-7), [0.1, 0.2, 0.5, 0.9]),
        physical_thresholds([0.1, 0.35, 1 / 3 + 1]),
        log_thresholds(0.01, 99.9, 7),
    ],
    ids=lambda grid: grid.kind,
)
def test_a_grid_survives_json_bit_for_bit(grid: Thresholds) -> None:
    again = Thresholds.from_dict(json.loads(json.dumps(grid.as_dict())))
    assert again == grid
    assert again.values.tobytes() == grid.values.tobytes()
    assert again.values.dtype == np.float32
    assert again.measure.tobytes() == grid.measure.tobytes()
    assert (again.levels is None) == (grid.levels is None)


def test_grids_of_other_rates_are_not_equal() -> None:
    assert physical_thresholds([1, 2]) != physical_thresholds([1, 3])


def test_one_threshold_is_enough_for_gamma() -> None:
    assert as_thresholds([0.1]).tolist() == [np.float32(0.1)]
