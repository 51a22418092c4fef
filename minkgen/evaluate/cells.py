"""Whether one cell is noticed: that of a tile's maximum is scaled, all else is kept."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label

__all__ = ["CELL_FACTOR", "STILL", "largest_cell", "movement", "scale_cells"]

CELL_FACTOR = 1.5
# An output that changes by less than this share of itself has not moved.
STILL = 0.01

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)

FloatArray = npt.NDArray[np.floating]


def largest_cell(tile: FloatArray, threshold: float) -> npt.NDArray[np.bool_]:
    """Return the cell of a tile's maximum: the connected set above a threshold that holds it.

    Pixels are connected to their eight neighbours, and above means at least; of several maxima
    the first counts.

    Parameters
    ----------
    tile : array (H, W)
        In mm/h.
    threshold : float
        In mm/h, compared in float32.

    Returns
    -------
    array of bool (H, W)
        Empty where no pixel reaches the threshold.

    Examples
    --------
    >>> largest_cell(np.array([[5.0, 2.0, 0.0, 3.0]], np.float32), 2.0)
    array([[ True,  True, False, False]])
    """
    above = tile >= np.float32(threshold)
    peak = np.unravel_index(int(np.argmax(tile)), tile.shape)
    if not above[peak]:
        return np.zeros(tile.shape, bool)
    numbers, _ = label(above, structure=_EIGHT_NEIGHBOURS)
    cell: npt.NDArray[np.bool_] = numbers == numbers[peak]
    return cell


def scale_cells(
    rain_rate: FloatArray, threshold: float
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return tiles with the cell of their maximum scaled by `CELL_FACTOR`.

    Parameters
    ----------
    rain_rate : array (B, H, W)
        In mm/h.
    threshold : float
        That bounds the cell.

    Returns
    -------
    scaled : array (B, H, W)
    found : array of bool (B,)
        Whether the tile has a pixel above the threshold, and so a cell.
    """
    cells = np.stack([largest_cell(tile, threshold) for tile in rain_rate])
    found: npt.NDArray[np.bool_] = np.any(cells, axis=(1, 2))
    factor = np.asarray(CELL_FACTOR, rain_rate.dtype)
    return np.where(cells, factor * rain_rate, rain_rate), found


def movement(before: FloatArray, after: FloatArray) -> npt.NDArray[np.float64]:
    """Return by how much γ moved: the maximum over its entries of |Δγ| / max(|γ|, 1).

    Counts and lengths below 1 (one component, say) are compared with 1, so that noise on an empty
    threshold is no movement; an output has moved when this is at least `STILL`.

    Parameters
    ----------
    before, after : array (B, F, Q)
        γ in physical units.

    Returns
    -------
    array (B,)

    Examples
    --------
    >>> movement(np.array([[[200.0, 0.0]]]), np.array([[[201.0, 0.5]]]))
    array([0.5])
    """
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    change = np.abs(after - before) / np.maximum(np.abs(before), 1.0)
    largest: npt.NDArray[np.float64] = change.max(axis=(1, 2))
    return largest
