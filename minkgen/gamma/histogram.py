"""Exact, mergeable histograms of values on a grid: every distinct value and its count.

Rates lie on a 0.01 mm/h grid, so that some thousands of distinct values hold billions of pixels,
and quantiles of the merged histogram are those of the whole population.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError

__all__ = ["ExactHistogram", "exact_level"]


def exact_level(level: float, whole: int = 1) -> Fraction:
    """Read a quantile level as the decimal that it is written as: 0.05 is one twentieth.

    Parameters
    ----------
    level : float
        From 0 to `whole`.
    whole : int
        1 for levels, 100 for percentiles.

    Returns
    -------
    Fraction
        The exact level, from 0 to 1.

    Raises
    ------
    InputError
        If the level is not a number from 0 to `whole`.

    Examples
    --------
    >>> exact_level(0.05), exact_level(99.9, 100)
    (Fraction(1, 20), Fraction(999, 1000))
    """
    if not 0 <= level <= whole:
        raise InputError(
            "a quantile level is out of range", got=level, expected=f"a number from 0 to {whole}"
        )
    return Fraction(str(float(level))) / whole


@dataclass(frozen=True, eq=False)
class ExactHistogram:
    """Distinct values in increasing order, and how often each occurs.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Strictly increasing.
    counts : ndarray of int64, shape (n,)
        At least 1 each.

    Raises
    ------
    InputError
        If the arrays do not describe a histogram.
    """

    value_type: ClassVar[type[np.generic]] = np.float64

    values: npt.NDArray[Any]
    counts: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        same_shape = self.values.ndim == 1 and self.values.shape == self.counts.shape
        if not same_shape or self.counts.dtype != np.int64:
            raise InputError(
                "a histogram needs as many values as counts",
                got=f"values {self.values.shape}, counts {self.counts.shape} {self.counts.dtype}",
                expected="shape (n,) twice, counts int64",
            )
        if not (self.values[:-1] < self.values[1:]).all() or (self.counts < 1).any():
            raise InputError(
                "a histogram's values must increase strictly and occur at least once each",
                got=f"values {self.values}, counts {self.counts}",
            )

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return np.array_equal(self.values, other.values) and np.array_equal(
            self.counts, other.counts
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def total(self) -> int:
        """Number of values that were counted."""
        return int(self.counts.sum())

    def as_dict(self) -> dict[str, list[Any]]:
        """Return plain lists, exact: every float32 is a float64."""
        return {"values": self.values.tolist(), "counts": self.counts.tolist()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild a histogram from `as_dict`, bit for bit.

        Parameters
        ----------
        plain : mapping
            What `as_dict` returned, also after a round trip through JSON.

        Returns
        -------
        same type
            The same histogram.
        """
        return cls(np.array(plain["values"], cls.value_type), np.array(plain["counts"], np.int64))

    def merge(self, *others: Self) -> Self:
        """Add up histograms; the order does not matter.

        Parameters
        ----------
        *others : same type
            The histograms to add.

        Returns
        -------
        same type
            The histogram of all values.
        """
        histograms = (self, *others)
        values, places = np.unique(
            np.concatenate([histogram.values for histogram in histograms]), return_inverse=True
        )
        counts = np.zeros(values.shape, np.int64)
        np.add.at(counts, places, np.concatenate([histogram.counts for histogram in histograms]))
        return type(self)(values, counts)

    def inverted_cdf(self, level: Fraction) -> Any:
        """Return the smallest value v such that at least level * total values are <= v.

        Parameters
        ----------
        level : Fraction
            From 0 to 1, exact, as `exact_level` reads it.

        Returns
        -------
        scalar
            A value that occurs.

        Raises
        ------
        InputError
            If the histogram is empty.
        """
        if self.total == 0:
            raise InputError("an empty histogram has no quantiles")
        rank = max(1, math.ceil(level * self.total))
        return self.values[np.searchsorted(np.cumsum(self.counts), rank)]
