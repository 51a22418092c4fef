"""Fractions skill score (Roberts and Lean, 2008), by summed-area tables.

Windows lie wholly in the tile: beyond its frame nothing is known, and dry pixels made up there
would agree with each other. Sums of squares are of whole numbers, so that merging is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError
from minkgen.evaluate.superres.pixels import quotient
from minkgen.evaluate.superres.settings import ScoreSetting

__all__ = ["fss_scores", "fss_sums"]

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


def fss_sums(
    setting: ScoreSetting, truth: Float32Array, predicted: Float32Array
) -> dict[str, Float64Array]:
    """Return sums over all windows of a chunk; both fields are (B, H, W) in mm/h.

    `fss_difference` and `fss_reference`, both (thresholds, windows): squared difference of the
    numbers of pixels at or above the threshold, and the sum of their squares.

    Raises
    ------
    InputError
        If a window is larger than the tile.
    """
    if max(setting.fss_windows, default=1) > min(truth.shape[1:]):
        raise InputError(
            "a window is larger than the tile",
            where="fss_windows",
            got=setting.fss_windows,
            expected=f"at most {min(truth.shape[1:])} pixels",
        )
    shape = len(setting.fss_mm_h), len(setting.fss_windows)
    difference, reference = np.zeros(shape), np.zeros(shape)
    # Tile by tile: the tables stay in the cache.
    for of_truth, of_prediction in zip(truth, predicted, strict=True):
        for row, u in enumerate(setting.fss_mm_h):
            tables = [_table(field >= np.float32(u)) for field in (of_truth, of_prediction)]
            for column, window in enumerate(setting.fss_windows):
                seen, foretold = (_in_windows(table, window) for table in tables)
                both = int(np.vdot(seen, foretold))
                squares = int(np.vdot(seen, seen)) + int(np.vdot(foretold, foretold))
                difference[row, column] += squares - 2 * both
                reference[row, column] += squares
    return {"fss_difference": difference, "fss_reference": reference}


def _table(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return how many pixels are set above and left of every corner."""
    table = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
    np.cumsum(mask, axis=0, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    return table


def _in_windows(table: npt.NDArray[np.int64], window: int) -> npt.NDArray[np.int64]:
    """Return the numbers of set pixels in every window that lies wholly in the tile."""
    across = table[:, window:] - table[:, :-window]
    return across[window:] - across[:-window]


def fss_scores(setting: ScoreSetting, sums: dict[str, Float64Array]) -> dict[str, Any]:
    """Return the scores of merged sums.

    Returns
    -------
    dict
        `fss` by threshold and by window: 1 - Σ (p - o)² / (Σ p² + Σ o²) over all windows of all
        samples (1: alike, 0: no overlap); None where neither truth nor prediction has a pixel.
    """
    unlike = [
        [quotient(*each) for each in zip(*rows, strict=True)]
        for rows in zip(sums["fss_difference"], sums["fss_reference"], strict=True)
    ]
    return {
        "fss": {
            f"{u:g}": {
                str(window): None if value is None else 1.0 - value
                for window, value in zip(setting.fss_windows, row, strict=True)
            }
            for u, row in zip(setting.fss_mm_h, unlike, strict=True)
        }
    }
