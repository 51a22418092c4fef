"""From 2 km to 25 km and back: the low resolution that super-resolution starts from.

A tile of 128 pixels of 2 km has 10 x 10 coarse cells: eight of 12.5 pixels (25 km) a side, and the
outer two of 14, which take the remaining 1.5 pixels each. Weights are fractional and separable, so
that mass is conserved, flips commute with it, and no cell is finer than 25 km.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError

__all__ = [
    "COARSE_KM",
    "averaging_matrix",
    "cell_edges",
    "coarsen",
    "interpolating_matrix",
    "refine",
]

COARSE_KM = 25.0

Float64 = npt.NDArray[np.float64]


def cell_edges(size: int, pixel_km: float) -> Float64:
    """Return the edges of the coarse cells along one side, in pixels.

    Parameters
    ----------
    size : int
        Pixels along the side.
    pixel_km : float
        Side of a pixel in km.

    Returns
    -------
    ndarray of float64, shape (cells + 1,)

    Raises
    ------
    InputError
        If the side is shorter than two coarse cells.

    Examples
    --------
    >>> cell_edges(128, 2.0)[[0, 1, 2, -2, -1]]
    array([  0. ,  14. ,  26.5, 114. , 128. ])
    """
    width = COARSE_KM / pixel_km
    cells = int(size / width + 1e-9)
    if cells < 2:
        raise InputError(
            "the field is too small to be coarsened",
            got=f"{size} pixels of {pixel_km:g} km",
            expected=f"at least {2 * COARSE_KM:g} km, two cells of the coarse grid",
            hint=f"tiles need {math.ceil(2 * COARSE_KM / pixel_km)} pixels or more: tiles.size in "
            "the recipe",
        )
    margin = (size - cells * width) / 2.0
    inner = margin + width * np.arange(1, cells)
    return np.concatenate(([0.0], inner, [float(size)]))


@cache
def averaging_matrix(size: int, pixel_km: float) -> Float64:
    """Return the matrix (cells, size) of the share of each pixel in each cell's mean."""
    edges = cell_edges(size, pixel_km)
    pixels = np.arange(size + 1, dtype=np.float64)
    overlap = np.minimum(edges[1:, None], pixels[None, 1:]) - np.maximum(
        edges[:-1, None], pixels[None, :-1]
    )
    weights: Float64 = np.maximum(overlap, 0.0) / np.diff(edges)[:, None]
    return weights


@cache
def interpolating_matrix(size: int, pixel_km: float, method: str) -> Float64:
    """Return the matrix (size, cells) that brings cell means back to pixel centres."""
    edges = cell_edges(size, pixel_km)
    position = np.arange(size) + 0.5
    cells = len(edges) - 1
    if method == "nearest":
        return np.eye(cells)[np.searchsorted(edges, position, side="right") - 1]
    centres = (edges[1:] + edges[:-1]) / 2.0
    # Beyond the outermost centres the value there is kept: a cubic would overshoot.
    position = np.clip(position, centres[0], centres[-1])
    left = np.clip(np.searchsorted(centres, position, side="right") - 1, 0, cells - 2)
    step = centres[left + 1] - centres[left]
    t = (position - centres[left]) / step
    unit = np.eye(cells)
    # Cubic Hermite polynomials with slopes by differences of second order: on equal spacing
    # this is the cubic convolution of Keys (1981) with a = -1/2.
    slopes = np.gradient(unit, centres, axis=0)
    value_left, value_right = (1 + 2 * t) * (1 - t) ** 2, t**2 * (3 - 2 * t)
    slope_left, slope_right = t * (1 - t) ** 2 * step, t**2 * (t - 1) * step
    matrix: Float64 = (
        value_left[:, None] * unit[left]
        + value_right[:, None] * unit[left + 1]
        + slope_left[:, None] * slopes[left]
        + slope_right[:, None] * slopes[left + 1]
    )
    return matrix


def coarsen(rain_rate: npt.NDArray[np.floating], pixel_km: float) -> Float64:
    """Average a field over 25 km cells.

    Parameters
    ----------
    rain_rate : ndarray, shape (..., H, W)
        Rates in mm/h without missing values.
    pixel_km : float
        Side of a pixel in km.

    Returns
    -------
    ndarray of float64, shape (..., h, w)
        Cell means; 10 x 10 for a tile of 128 pixels of 2 km.

    Raises
    ------
    InputError
        If a side is shorter than two coarse cells.
    """
    rows = averaging_matrix(rain_rate.shape[-2], pixel_km)
    columns = averaging_matrix(rain_rate.shape[-1], pixel_km)
    means: Float64 = rows @ rain_rate.astype(np.float64) @ columns.T
    return means


def refine(
    coarse: npt.NDArray[np.floating],
    shape: tuple[int, int],
    pixel_km: float,
    method: Literal["bicubic", "nearest"] = "bicubic",
) -> Float64:
    """Bring cell means back to pixels, clipped at 0.

    Parameters
    ----------
    coarse : ndarray, shape (..., h, w)
        Cell means in mm/h as `coarsen` gives them.
    shape : tuple of int
        Rows and columns of the fine field.
    pixel_km : float
        Side of a fine pixel in km.
    method : {"bicubic", "nearest"}, optional

    Returns
    -------
    ndarray of float64, shape (..., H, W)
    """
    rows = interpolating_matrix(shape[0], pixel_km, method)
    columns = interpolating_matrix(shape[1], pixel_km, method)
    fine: Float64 = np.maximum(rows @ coarse.astype(np.float64) @ columns.T, 0.0)
    return fine
