"""Cutting composites into tiles, and which tiles are worth keeping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minkgen.recipe import Tiles

__all__ = ["FrameTiles", "cut_tile", "is_wet", "scan_frame", "tile_corners"]

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FrameTiles:
    """The covered tiles of one frame; every array has shape (n,).

    Attributes
    ----------
    row, column : ndarray of int32
        North-west pixel of the tile in the composite.
    covered_fraction, wet_fraction : ndarray of float64
        Share of the tile's pixels with coverage, and with at least the drizzle threshold.
    max_rate : ndarray of float32
        Largest rate in mm/h, before drizzle is zeroed.
    """

    row: npt.NDArray[np.int32]
    column: npt.NDArray[np.int32]
    covered_fraction: npt.NDArray[np.float64]
    wet_fraction: npt.NDArray[np.float64]
    max_rate: Float32


def tile_corners(shape: tuple[int, int], tiles: Tiles) -> Iterator[tuple[int, int]]:
    """Yield row and column of the north-west pixel of every tile that fits, in reading order."""
    for row in range(tiles.offset[0], shape[0] - tiles.size + 1, tiles.stride):
        for column in range(tiles.offset[1], shape[1] - tiles.size + 1, tiles.stride):
            yield row, column


def is_wet(rain_rate: Float32, tiles: Tiles) -> npt.NDArray[np.bool_]:
    """Return which pixels hold at least the drizzle threshold; NaN is not wet.

    The threshold is rounded to float32 as the rates are: rates lie on a 0.01 mm/h grid, and
    0.1 mm/h itself is wet.
    """
    wet: npt.NDArray[np.bool_] = rain_rate >= np.float32(tiles.drizzle_mm_h)
    return wet


def scan_frame(
    rain_rate: Float32, tiles: Tiles, corners: Iterable[tuple[int, int]] | None = None
) -> FrameTiles:
    """Describe the tiles of a frame that are covered well enough.

    Parameters
    ----------
    rain_rate : ndarray of float32, shape (H, W)
        A composite in mm/h, north first, NaN without coverage.
    tiles : Tiles
        Size, stride, offset, least coverage and drizzle threshold.
    corners : iterable of tuple of int, optional
        Row and column of the north-west pixels of the tiles to look at, in reading order; by
        default all tiles that fit.

    Returns
    -------
    FrameTiles
        Tiles whose covered fraction is at least `min_coverage`, wet or dry, in reading order.
    """
    covered = np.isfinite(rain_rate)
    wet = is_wet(rain_rate, tiles)
    area = tiles.size * tiles.size
    found = []
    for row, column in tile_corners(rain_rate.shape, tiles) if corners is None else corners:
        place = slice(row, row + tiles.size), slice(column, column + tiles.size)
        covered_fraction = np.count_nonzero(covered[place]) / area
        if covered_fraction >= tiles.min_coverage:
            wet_fraction = np.count_nonzero(wet[place]) / area
            max_rate = np.nanmax(rain_rate[place])
            found.append((row, column, covered_fraction, wet_fraction, max_rate))
    columns = list(zip(*found, strict=True)) or [()] * 5
    return FrameTiles(
        row=np.array(columns[0], np.int32),
        column=np.array(columns[1], np.int32),
        covered_fraction=np.array(columns[2], np.float64),
        wet_fraction=np.array(columns[3], np.float64),
        max_rate=np.array(columns[4], np.float32),
    )


def cut_tile(
    rain_rate: Float32, row: int, column: int, tiles: Tiles, out: Float32 | None = None
) -> Float32:
    """Return one tile of a composite with drizzle zeroed; missing pixels stay NaN.

    Parameters
    ----------
    rain_rate : ndarray of float32, shape (H, W)
        A composite in mm/h.
    row, column : int
        North-west pixel of the tile.
    tiles : Tiles
    out : ndarray of float32, shape (size, size), optional
        Receives the tile.

    Returns
    -------
    ndarray of float32, shape (size, size)
        A copy; the composite keeps its drizzle.
    """
    tile = np.empty((tiles.size, tiles.size), np.float32) if out is None else out
    tile[:] = rain_rate[row : row + tiles.size, column : column + tiles.size]
    np.putmask(tile, tile < np.float32(tiles.drizzle_mm_h), 0.0)
    return tile
