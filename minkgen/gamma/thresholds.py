"""Threshold grids: quantiles of the climatology, given rates, or a logarithmic range.

A grid carries the measure of the loss that integrates over it: the quantile level for quantile
grids, the logarithm of the rate for the others, by the trapezoid rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, cast

import numpy as np
import numpy.typing as npt

from minkgen.errors import EmptySplitError, InputError
from minkgen.gamma.histogram import ExactHistogram, exact_level

__all__ = [
    "Thresholds",
    "ValueHistogram",
    "as_thresholds",
    "log_thresholds",
    "physical_thresholds",
    "quantile_thresholds",
]

Kind = Literal["quantile", "physical", "log"]


def as_thresholds(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Check thresholds and round them to float32, in which they are compared.

    Parameters
    ----------
    values : array_like of real numbers, shape (Q,)
        Rates in mm/h.

    Returns
    -------
    ndarray of float32, shape (Q,)
        The thresholds, strictly increasing, positive and finite.

    Raises
    ------
    InputError
        If they are empty, not numbers, not finite, not positive or not strictly increasing, as
        given or after rounding to float32.

    Examples
    --------
    >>> as_thresholds([0.1, 1, 10])
    array([ 0.1,  1. , 10. ], dtype=float32)
    """
    given = np.asarray(values)
    expected = "one or more finite rates > 0 mm/h, strictly increasing also in float32"

    def refuse(what: str) -> InputError:
        return InputError(what, where="thresholds", got=repr(values), expected=expected)

    if given.dtype.kind not in "iuf" or given.ndim != 1:
        raise refuse("thresholds must be a vector of real numbers")
    if given.size == 0:
        raise refuse("there are no thresholds")
    with np.errstate(over="ignore"):
        rounded = given.astype(np.float32)
    if not np.isfinite(rounded).all():
        raise refuse("thresholds must be finite")
    if not (rounded > 0).all():
        raise refuse("thresholds must be positive")
    if not (given[:-1] < given[1:]).all():
        raise refuse("thresholds must increase strictly")
    if not (rounded[:-1] < rounded[1:]).all():
        raise refuse("two thresholds are the same number in float32")
    return rounded


@dataclass(frozen=True, eq=False)
class ValueHistogram(ExactHistogram):
    """Exact histogram of float32 rates: the climatology, mergeable over tasks.

    Parameters
    ----------
    values : ndarray of float32, shape (n,)
        Distinct rates in mm/h, strictly increasing.
    counts : ndarray of int64, shape (n,)
        Pixels with that rate, at least 1 each.

    Examples
    --------
    >>> wet = ValueHistogram.from_values(np.array([0.1, 0.2, 0.2, 3.0], dtype=np.float32))
    >>> wet.merge(wet).total, wet.quantile(0.75)
    (8, np.float32(0.2))
    """

    value_type = np.float32

    @classmethod
    def from_values(cls, values: npt.NDArray[np.float32]) -> Self:
        """Count the values of an array of any shape.

        Parameters
        ----------
        values : ndarray of float32
            Finite rates in mm/h; the caller selects those that count, the wet ones say.

        Returns
        -------
        ValueHistogram
            The histogram; empty for an empty array.

        Raises
        ------
        InputError
            If the array is not float32 or holds NaN or infinities.
        """
        if values.dtype != np.float32:
            raise InputError(
                "the climatology counts the float32 values that γ is computed from",
                got=values.dtype,
                expected="float32",
            )
        if not np.isfinite(values).all():
            raise InputError("a missing or infinite rate cannot be counted")
        # Adding zero turns -0.0 into 0.0.
        distinct, counts = np.unique(values.ravel() + np.float32(0.0), return_counts=True)
        return cls(distinct, counts.astype(np.int64))

    def quantile(self, level: float) -> np.float32:
        """Return the quantile by the inverted CDF: the smallest rate with CDF >= level.

        Parameters
        ----------
        level : float
            From 0 to 1, taken as the decimal it is written as.

        Returns
        -------
        float32
            A rate that occurs, in mm/h.

        Raises
        ------
        InputError
            If the level is out of range or the histogram is empty.
        """
        return cast("np.float32", self.inverted_cdf(exact_level(level)))

    def sample(self, max_pixels: int, seed: int) -> ValueHistogram:
        """Draw pixels without replacement, all histories of merging giving the same draw.

        Parameters
        ----------
        max_pixels : int
            Number of pixels to draw; a histogram that holds no more is returned as it is.
        seed : int
            Seed of the draw.

        Returns
        -------
        ValueHistogram
            The histogram of the drawn pixels.

        Raises
        ------
        InputError
            If `max_pixels` is below 1.
        """
        if max_pixels < 1:
            raise InputError(
                "a sample needs at least one pixel", where="max_pixels", got=max_pixels
            )
        total = self.total
        if total <= max_pixels:
            return self
        # Pixels are numbered by increasing value. NumPy's own draws without replacement end at
        # 1e9 pixels (multivariate_hypergeometric) or hold them all in memory (choice).
        left_out = max_pixels > total // 2
        wanted = total - max_pixels if left_out else max_pixels
        generator = np.random.default_rng(seed)
        drawn = np.empty(0, np.int64)
        while drawn.size < wanted:
            drawn = np.union1d(drawn, generator.integers(total, size=wanted - drawn.size))
        ends = np.searchsorted(drawn, np.cumsum(self.counts))
        drawn_counts = np.diff(ends, prepend=0).astype(np.int64)
        counts = self.counts - drawn_counts if left_out else drawn_counts
        return ValueHistogram(self.values[counts > 0], counts[counts > 0])


@dataclass(frozen=True, eq=False)
class Thresholds:
    """A threshold grid with the measure that integrates over it.

    Parameters
    ----------
    kind : {"quantile", "physical", "log"}
        How the grid was made.
    values : ndarray of float32, shape (Q,)
        Rates in mm/h, strictly increasing, Q at least 2.
    measure : ndarray of float64, shape (Q,)
        Integration weights.
    levels : ndarray of float64, shape (Q,), optional
        Quantile levels of a quantile grid. Where several levels fall on one rate u, the lowest is
        kept: of the merged levels it is nearest to the share of pixels below u, which the
        excursion set {x >= u} leaves out.
    dropped : tuple of float
        The other levels, whose weights the kept ones carry.
    """

    kind: Kind
    values: npt.NDArray[np.float32]
    measure: npt.NDArray[np.float64]
    levels: npt.NDArray[np.float64] | None = None
    dropped: tuple[float, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thresholds) and self.as_dict() == other.as_dict()

    __hash__ = None  # type: ignore[assignment]

    def as_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, exact: every float32 is a float64."""
        return {
            "kind": self.kind,
            "values": self.values.tolist(),
            "measure": self.measure.tolist(),
            "levels": None if self.levels is None else self.levels.tolist(),
            "dropped": list(self.dropped),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild a grid from `as_dict`, bit for bit.

        Parameters
        ----------
        plain : mapping
            What `as_dict` returned, also after a round trip through JSON.

        Returns
        -------
        Thresholds
            The same grid.
        """
        levels = plain["levels"]
        return cls(
            kind=plain["kind"],
            values=np.array(plain["values"], np.float32),
            measure=np.array(plain["measure"], np.float64),
            levels=None if levels is None else np.array(levels, np.float64),
            dropped=tuple(plain["dropped"]),
        )


def _trapezoid_weights(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Weights w with sum(w * f(points)) the trapezoid rule of f, shape of the points."""
    weights = np.zeros(points.size)
    halves = np.diff(points) / 2
    weights[:-1] += halves
    weights[1:] += halves
    return weights


def _require_two(values: npt.NDArray[np.float32]) -> None:
    if values.size < 2:
        raise InputError(
            "a threshold grid needs two different rates to integrate over",
            got=f"{values.size}: {values.tolist()} mm/h",
            hint="choose other levels or rates, or a longer training period",
        )


def quantile_thresholds(histogram: ValueHistogram, levels: Sequence[float]) -> Thresholds:
    """Make a grid of quantiles of the climatology, merging levels that fall on one rate.

    Parameters
    ----------
    histogram : ValueHistogram
        Wet pixels of the training split, all > 0 mm/h.
    levels : sequence of float
        Strictly increasing, from 0 to 1.

    Returns
    -------
    Thresholds
        With the levels that are kept and the trapezoid weights in level; a merged level's weight
        goes to the kept one, so that the weights always sum to the last level less the first.

    Raises
    ------
    EmptySplitError
        If the histogram is empty.
    InputError
        If levels are out of range or not increasing, a rate is not positive, or fewer than two
        thresholds are left.

    Examples
    --------
    >>> wet = ValueHistogram.from_values(np.array([1, 1, 1, 4], dtype=np.float32))
    >>> grid = quantile_thresholds(wet, [0.25, 0.5, 1.0])
    >>> grid.values, grid.levels, grid.measure, grid.dropped
    (array([1., 4.], dtype=float32), array([0.25, 1.  ]), array([0.5 , 0.25]), (0.5,))
    """
    if histogram.total == 0:
        raise EmptySplitError(
            "no wet pixel to take threshold quantiles from",
            hint="check the training period and the eligibility rules",
        )
    quantiles = np.array([histogram.quantile(level) for level in levels], np.float32)
    points = np.array(levels, np.float64)
    if not (points[:-1] < points[1:]).all():
        raise InputError("quantile levels must increase strictly", where="levels", got=levels)
    values, kept, places = np.unique(quantiles, return_index=True, return_inverse=True)
    _require_two(values)
    measure = np.zeros(values.size)
    np.add.at(measure, places, _trapezoid_weights(points))
    dropped = np.delete(points, kept)
    return Thresholds(
        "quantile", as_thresholds(values), measure, points[kept], tuple(dropped.tolist())
    )


def _rate_grid(kind: Kind, rates: npt.ArrayLike) -> Thresholds:
    values = as_thresholds(rates)
    _require_two(values)
    return Thresholds(kind, values, _trapezoid_weights(np.log(values.astype(np.float64))))


def physical_thresholds(rates: npt.ArrayLike) -> Thresholds:
    """Make a grid of given rates, integrated over the logarithm of the rate.

    Parameters
    ----------
    rates : array_like, shape (Q,)
        Rates in mm/h, strictly increasing, positive, at least two.

    Returns
    -------
    Thresholds
        Without levels.

    Raises
    ------
    InputError
        If the rates cannot be thresholds, or are fewer than two.

    Examples
    --------
    >>> physical_thresholds([1, 10]).measure.round(3)
    array([1.151, 1.151])
    """
    return _rate_grid("physical", rates)


def log_thresholds(low: float, high: float, count: int) -> Thresholds:
    """Make a grid of rates evenly spaced in their logarithm, both ends included.

    Parameters
    ----------
    low, high : float
        First and last rate in mm/h.
    count : int
        Number of thresholds, at least two.

    Returns
    -------
    Thresholds
        Without levels.

    Raises
    ------
    InputError
        If the range is empty or not positive, or `count` is below two.

    Examples
    --------
    >>> log_thresholds(0.1, 10.0, 3).values
    array([ 0.1,  1. , 10. ], dtype=float32)
    """
    if not 0 < low < high < np.inf or count < 2:
        raise InputError(
            "a logarithmic grid needs a positive range and two thresholds",
            got=f"{count} from {low} to {high} mm/h",
            expected="count >= 2 and 0 < low < high",
        )
    return _rate_grid("log", np.geomspace(low, high, count))
