"""Classes of tiles by their wet fraction, and statistics of each class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.metrics import EmulatorStatistics

__all__ = [
    "WET_CLASSES",
    "classes_of",
    "merge_classes",
    "statistics_by_class",
    "wet_classes",
    "whole",
]

# As the benchmark has them; a class holds its upper edge.
_EDGES = (0.0, 0.02, 0.10, 0.30, 0.60, 1.0)
WET_CLASSES: tuple[str, ...] = tuple(
    f"{100 * low:.0f}-{100 * high:.0f} %" for low, high in pairwise(_EDGES)
)


def wet_classes(rain_rate: npt.NDArray[np.floating], drizzle_mm_h: float) -> npt.NDArray[np.intp]:
    """Return the place in `WET_CLASSES` of every tile.

    Parameters
    ----------
    rain_rate : array (B, H, W)
        In mm/h.
    drizzle_mm_h : float
        A pixel is wet from this rate on (compared in float32, as γ is).

    Returns
    -------
    array of int (B,)

    Examples
    --------
    >>> tile = np.zeros((1, 10, 10), np.float32)
    >>> tile[0, 0, :3] = 1.0
    >>> WET_CLASSES[wet_classes(tile, 0.1)[0]]
    '2-10 %'
    """
    return classes_of((rain_rate >= np.float32(drizzle_mm_h)).mean(axis=(1, 2)))


def classes_of(wet_fraction: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    """Return the place in `WET_CLASSES` of every wet fraction.

    Examples
    --------
    >>> classes_of(np.array([0.0, 0.02, 0.03, 1.0])).tolist()
    [0, 0, 1, 4]
    """
    places: npt.NDArray[np.intp] = np.searchsorted(_EDGES[1:-1], wet_fraction, side="left")
    return places


def statistics_by_class(
    predicted: npt.NDArray[np.floating],
    target: npt.NDArray[np.floating],
    classes: npt.NDArray[np.intp],
    functionals: Sequence[str],
) -> dict[str, EmulatorStatistics]:
    """Return the statistics of a batch for every class that occurs in it.

    Parameters
    ----------
    predicted, target : array (B, F, Q)
        γ in physical units.
    classes : array of int (B,)
        From `wet_classes`.
    functionals : sequence of str
        Names along F.
    """
    return {
        WET_CLASSES[number]: EmulatorStatistics.of(
            predicted[classes == number], target[classes == number], functionals
        )
        for number in np.unique(classes).tolist()
    }


def merge_classes(
    first: Mapping[str, EmulatorStatistics], second: Mapping[str, EmulatorStatistics]
) -> dict[str, EmulatorStatistics]:
    """Return the statistics of both sets of samples, class by class in the order of classes."""
    merged = {}
    for name in WET_CLASSES:
        parts = [part[name] for part in (first, second) if name in part]
        if parts:
            merged[name] = reduce(EmulatorStatistics.merge, parts)
    return merged


def whole(classes: Iterable[EmulatorStatistics]) -> EmulatorStatistics:
    """Return the statistics of all classes together; there must be at least one."""
    return reduce(EmulatorStatistics.merge, classes)
