"""Uncertainty of scores by drawing whole days again: tiles of one day are not independent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError
from minkgen.evaluate.superres.scores import field_scores, scalar_scores
from minkgen.evaluate.superres.settings import ScoreSetting
from minkgen.evaluate.superres.statistics import FieldStatistics, merge_statistics
from minkgen.gamma.histogram import ExactHistogram

__all__ = ["bootstrap_by_day"]

# Bounds of the interval: 95 % of replicates.
_INTERVAL = (0.025, 0.975)


def bootstrap_by_day(
    setting: ScoreSetting,
    by_day: Mapping[str, FieldStatistics],
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Return how far each scalar score may be off, from days drawn with replacement.

    Parameters
    ----------
    setting : ScoreSetting
    by_day : mapping of str to FieldStatistics
        By day; at least two. Their order does not matter.
    replicates : int, optional
        Draws of as many days as there are.
    seed : int, optional

    Returns
    -------
    dict of str to dict
        By the paths of `scalar_scores`: `standard_error`, `low` and `high` (the 2.5th and the
        97.5th percentile of the replicates), and `replicates`, in how many of them the score was
        defined. A score with fewer than two is left out.

    Raises
    ------
    InputError
        If there are fewer than two days or replicates.
    """
    if len(by_day) < 2 or replicates < 2:
        raise InputError(
            "there is nothing to draw from",
            got=f"{len(by_day)} days, {replicates} replicates",
            expected="at least two of both",
        )
    days = _Days([by_day[day] for day in sorted(by_day)])
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {}
    for _ in range(replicates):
        times = random.multinomial(len(by_day), np.full(len(by_day), 1.0 / len(by_day)))
        for path, value in scalar_scores(field_scores(setting, days.drawn(times))).items():
            drawn.setdefault(path, []).append(value)
    return {path: _summary(np.array(values)) for path, values in drawn.items() if len(values) > 1}


class _Days:
    """The statistics of days side by side, so that a draw is a product with its multiplicities."""

    def __init__(self, days: list[FieldStatistics]) -> None:
        self.members = days[0].members
        whole = merge_statistics(days)
        self.sums = {name: np.stack([day.sums[name] for day in days]) for name in whole.sums}
        self.samples = whole.samples
        self.day_of_sample = np.repeat(np.arange(len(days)), [day.count for day in days])
        self.values = {name: histogram.values for name, histogram in whole.rates.items()}
        self.counts = {
            name: np.stack([_counts_of(day.rates[name], values) for day in days])
            for name, values in self.values.items()
        }

    def drawn(self, times: npt.NDArray[np.int64]) -> FieldStatistics:
        """Return the statistics of days that are drawn so many times each."""
        again = np.repeat(np.arange(len(self.day_of_sample)), times[self.day_of_sample])
        rates = {}
        for name, values in self.values.items():
            counts = times @ self.counts[name]
            rates[name] = ExactHistogram(values[counts > 0], counts[counts > 0])
        return FieldStatistics(
            self.members,
            {name: np.tensordot(times, sums, 1) for name, sums in self.sums.items()},
            {name: kept[again] for name, kept in self.samples.items()},
            rates,
        )


def _counts_of(histogram: ExactHistogram, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    counts = np.zeros(values.shape, np.int64)
    counts[np.searchsorted(values, histogram.values)] = histogram.counts
    return counts


def _summary(values: npt.NDArray[np.float64]) -> dict[str, Any]:
    low, high = np.quantile(values, _INTERVAL)
    return {
        "standard_error": float(values.std(ddof=1)),
        "low": float(low),
        "high": float(high),
        "replicates": len(values),
    }
