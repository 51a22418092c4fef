"""The mechanistic test (the paper's figure 7): several Gaussian cells, one of which is scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.metrics import signed_log1p

__all__ = ["FACTORS", "CellTest", "cell_test", "response_shares", "threshold_to_cross"]

# The cell is taken from nothing to twice its rates.
FACTORS = tuple(np.linspace(0.0, 2.0, 81).tolist())

# Centre (row, column) and standard deviation as shares of the tile's side, and peak in mm/h.
_CELLS = (
    (0.28, 0.25, 0.060, 25.0),
    (0.66, 0.30, 0.075, 12.0),
    (0.75, 0.74, 0.090, 6.0),
    (0.20, 0.80, 0.045, 3.0),
)
# The one that is scaled: far enough from the others to be a component of its own.
_SCALED = (0.45, 0.60, 0.050, 16.0)
# Standard deviations within which pixels are of the cell.
_REACH = 3.0
# What the cell's peak reaches at the factor where the shown threshold is crossed.
_CROSSING = 0.75

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CellTest:
    """The synthetic field.

    Attributes
    ----------
    rain_rate : array (H, W)
        In mm/h, at factor 1.
    cell : array of bool (H, W)
        The pixels that are scaled.
    peak : float
        Largest rate of the cell in mm/h.
    """

    rain_rate: npt.NDArray[np.float32]
    cell: npt.NDArray[np.bool_]
    peak: float

    def scaled(self, factors: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return the field with the cell scaled by each factor, shape (A, H, W)."""
        by = np.asarray(factors, np.float32)[:, None, None]
        return np.where(self.cell, by * self.rain_rate, self.rain_rate)


def cell_test(size: int, drizzle_mm_h: float) -> CellTest:
    """Return the field on a tile of so many pixels a side; what is below drizzle is dry.

    Examples
    --------
    >>> test = cell_test(32, 0.1)
    >>> test.rain_rate.shape, bool(test.rain_rate[test.cell].max() == test.peak)
    ((32, 32), True)
    """
    place = (np.arange(size) + 0.5) / size
    row, column, deviation, _ = _SCALED
    distance = np.hypot(place[:, None] - row, place - column)
    cell = distance <= _REACH * deviation
    field = sum(_gaussian(place, *each) for each in (*_CELLS, _SCALED))
    rain_rate = np.asarray(np.where(field >= drizzle_mm_h, field, 0.0), np.float32)
    return CellTest(rain_rate, cell, float(rain_rate[cell].max()))


def _gaussian(
    place: Float64Array, row: float, column: float, deviation: float, peak: float
) -> Float64Array:
    square = (place[:, None] - row) ** 2 + (place - column) ** 2
    values: Float64Array = peak * np.exp(-square / (2.0 * deviation**2))
    return values


def threshold_to_cross(thresholds: npt.ArrayLike, peak: float) -> int:
    """Return the place of the threshold that the cell crosses nearest to factor 0.75.

    Examples
    --------
    >>> threshold_to_cross([0.1, 1.0, 10.0, 30.0], peak=16.0)
    2
    """
    crossings = np.asarray(thresholds, np.float64) / peak
    return int(np.abs(np.log(crossings / _CROSSING)).argmin())


def response_shares(exact: npt.ArrayLike, predicted: npt.ArrayLike) -> list[float | None]:
    """Return how much of the exact response a surrogate shows, by functional.

    The range of log1p γ over the factors, summed over thresholds: predicted by exact. 0 is blind,
    1 is as lively as the truth; None where the truth does not respond.

    Parameters
    ----------
    exact, predicted : array_like (A, F, Q)
        γ in physical units at every factor.

    Examples
    --------
    >>> response_shares([[[0.0]], [[4.0]]], [[[2.0]], [[2.0]]])
    [0.0]
    """
    ranges: list[Any] = [_log_range(each) for each in (predicted, exact)]
    return [
        float(of_surrogate / of_truth) if of_truth > 0 else None
        for of_surrogate, of_truth in zip(*ranges, strict=True)
    ]


def _log_range(gamma: npt.ArrayLike) -> Float64Array:
    logs = signed_log1p(gamma)
    total: Float64Array = np.ptp(logs, axis=0).sum(axis=1)
    return total
