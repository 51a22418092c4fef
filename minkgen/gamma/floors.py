"""Persistence floors ε: the lifetime that a component or a hole must exceed to count.

Rates lie on a 0.01 mm/h grid, and the lifetime at a percentile is attained by hundreds of pairs
whose float32 values differ in the seventh digit: an ε on the grid would be decided by rounding.
Lifetimes are therefore counted as integers k of 0.01 mm/h, and an estimated ε lies half-way
between k* and the next step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from minkgen.errors import EmptySplitError, InputError
from minkgen.gamma.histogram import ExactHistogram, exact_level

__all__ = [
    "Floor",
    "LifetimeHistogram",
    "elbow_floor",
    "given_floor",
    "percentile_floor",
]

# Lifetimes are counted in steps of the grid of the products' rates, 0.01 mm/h.
STEPS_PER_UNIT = 100


@dataclass(frozen=True, eq=False)
class LifetimeHistogram(ExactHistogram):
    """Exact histogram of lifetimes in steps of 0.01 mm/h, for components or for holes.

    Parameters
    ----------
    values : ndarray of int64, shape (n,)
        Lifetimes k in steps of 0.01 mm/h, at least 1, strictly increasing.
    counts : ndarray of int64, shape (n,)
        Pairs with that lifetime, at least 1 each.

    Examples
    --------
    >>> pairs = np.array([[0.3, 0.1], [2.0, 0.0], [0.304, 0.3]], dtype=np.float32)
    >>> LifetimeHistogram.from_pairs(pairs).values
    array([ 20, 200])
    """

    @classmethod
    def from_pairs(cls, pairs: npt.NDArray[np.float32]) -> Self:
        """Count the lifetimes of finite persistence pairs; those that round to 0 are left out.

        Parameters
        ----------
        pairs : ndarray of float32, shape (n, 2)
            Birth and death in mm/h, as `PersistencePairs.finite` returns them.

        Returns
        -------
        LifetimeHistogram
            The histogram; empty for no pairs.

        Raises
        ------
        InputError
            If the array is not float32 of shape (n, 2).
        """
        if pairs.dtype != np.float32 or pairs.ndim != 2 or pairs.shape[1] != 2:
            raise InputError(
                "lifetimes come from pairs of birth and death",
                got=f"{pairs.dtype} of shape {pairs.shape}",
                expected="float32 of shape (n, 2)",
            )
        births, deaths = pairs.astype(np.float64).T
        steps = np.rint((births - deaths) * STEPS_PER_UNIT).astype(np.int64)
        values, counts = np.unique(steps[steps >= 1], return_counts=True)
        return cls(values, counts.astype(np.int64))


@dataclass(frozen=True)
class Floor:
    """A persistence floor and where it comes from.

    Parameters
    ----------
    epsilon : float
        In mm/h; a pair counts when its lifetime is above it.
    method : {"given", "percentile", "elbow"}
        How it was chosen.
    k_star : int, optional
        The chosen lifetime in steps of 0.01 mm/h, for estimated floors.
    percentile : float, optional
        For the percentile.
    """

    epsilon: float
    method: Literal["given", "percentile", "elbow"]
    k_star: int | None = None
    percentile: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers, as they are recorded."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild a floor from `as_dict`.

        Parameters
        ----------
        plain : mapping
            What `as_dict` returned.

        Returns
        -------
        Floor
            The same floor.
        """
        return cls(**plain)


def _between_steps(k_star: int) -> float:
    return (k_star + 0.5) / STEPS_PER_UNIT


def _require_pairs(histogram: LifetimeHistogram) -> None:
    if histogram.total == 0:
        raise EmptySplitError(
            "no persistence pair to estimate a floor from",
            hint="take a longer or wetter training period, or give the floor in the recipe, for "
            "example --set persistence.holes='{kind: given, value_mm_h: 0.1}'",
        )


def given_floor(epsilon: float) -> Floor:
    """Record a floor that the recipe gives.

    Parameters
    ----------
    epsilon : float
        In mm/h, finite and not negative.

    Returns
    -------
    Floor
        With method "given".

    Raises
    ------
    InputError
        If it is negative, infinite or NaN.

    Examples
    --------
    >>> given_floor(0.5).epsilon
    0.5
    """
    if not 0 <= epsilon < np.inf:
        raise InputError(
            "a persistence floor is out of range", got=epsilon, expected="a finite number >= 0 mm/h"
        )
    return Floor(float(epsilon), "given")


def percentile_floor(histogram: LifetimeHistogram, percentile: float = 95.0) -> Floor:
    """Place the floor just above a percentile of the lifetimes.

    Parameters
    ----------
    histogram : LifetimeHistogram
        All finite lifetimes of one dimension.
    percentile : float
        From 0 to 100, taken as the decimal it is written as.

    Returns
    -------
    Floor
        ε = (k* + 0.5) * 0.01, with k* the percentile by the inverted CDF.

    Raises
    ------
    EmptySplitError
        If the histogram is empty.
    InputError
        If the percentile is out of range.

    Examples
    --------
    >>> lifetimes = LifetimeHistogram(np.array([1, 7]), np.array([9, 1]))
    >>> percentile_floor(lifetimes, 90).k_star, percentile_floor(lifetimes, 95).epsilon
    (1, 0.075)
    """
    _require_pairs(histogram)
    k_star = int(histogram.inverted_cdf(exact_level(percentile, 100)))
    return Floor(_between_steps(k_star), "percentile", k_star, float(percentile))


def elbow_floor(histogram: LifetimeHistogram) -> Floor:
    """Place the floor just above the elbow of the histogram of lifetimes.

    The elbow is the point farthest below the chord between the first and the last point of
    (k, log count), over the lifetimes k that occur; the shortest of equally far ones. The distance
    is taken along the count's axis: for one chord it is proportional to the perpendicular one,
    so that the elbow does not depend on the scale of either axis.

    Parameters
    ----------
    histogram : LifetimeHistogram
        All finite lifetimes of one dimension.

    Returns
    -------
    Floor
        ε = (k* + 0.5) * 0.01, with k* the elbow.

    Raises
    ------
    EmptySplitError
        If the histogram is empty.
    InputError
        If no point lies below the chord.

    Examples
    --------
    >>> lifetimes = LifetimeHistogram(np.array([1, 2, 9]), np.array([100, 5, 1]))
    >>> elbow_floor(lifetimes).k_star
    2
    """
    _require_pairs(histogram)
    k = histogram.values.astype(np.float64)
    log_counts = np.log(histogram.counts)
    chord = np.interp(k, k[[0, -1]], log_counts[[0, -1]])
    depths = chord - log_counts
    elbow = int(np.argmax(depths))
    if depths[elbow] <= 0:
        raise InputError(
            "the histogram of lifetimes has no elbow",
            got=f"{histogram.values.size} different lifetimes, none below the chord",
            hint="take a percentile, or give the floor as a number",
        )
    k_star = int(histogram.values[elbow])
    return Floor(_between_steps(k_star), "elbow", k_star)
