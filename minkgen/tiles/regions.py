"""Which tiles of a grid belong to a region: those whose centres lie inside it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pyproj import Transformer

from minkgen.errors import EmptySplitError
from minkgen.grid import Grid
from minkgen.recipe import Tiles
from minkgen.tiles.eligibility import tile_corners

__all__ = ["corners_in_region", "inside", "tile_centres"]

Float64 = npt.NDArray[np.float64]


def tile_centres(
    grid: Grid, corners: Sequence[tuple[int, int]], size: int
) -> tuple[Float64, Float64]:
    """Return where the centres of tiles lie.

    Parameters
    ----------
    grid : Grid
    corners : sequence of tuple of int
        Row and column of the north-west pixels.
    size : int
        Rows and columns of a tile.

    Returns
    -------
    longitude, latitude : ndarray of float64, shape (n,)
        Degrees on WGS84.
    """
    row, column = np.array(corners, np.float64).reshape(-1, 2).T
    x = grid.west + grid.pixel_m * (column + size / 2)
    y = grid.north - grid.pixel_m * (row + size / 2)
    to_lonlat = Transformer.from_crs(grid.crs, grid.crs.geodetic_crs, always_xy=True)
    longitude, latitude = to_lonlat.transform(x, y)
    return longitude, latitude


def inside(
    polygon: Sequence[tuple[float, float]], longitude: Float64, latitude: Float64
) -> npt.NDArray[np.bool_]:
    """Return which places lie inside a polygon, by counting the edges to the east of each.

    Parameters
    ----------
    polygon : sequence of tuple of float
        Corners (longitude, latitude) in order; edges are straight in longitude and latitude, and
        cross neither each other nor the antimeridian.
    longitude, latitude : ndarray of float64, shape (n,)

    Returns
    -------
    ndarray of bool, shape (n,)
        A place on an edge belongs to the polygon that lies east or north of it.

    Examples
    --------
    >>> square = [(0, 0), (2, 0), (2, 2), (0, 2)]
    >>> inside(square, np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0]))
    array([ True,  True, False])
    """
    within = np.zeros(longitude.shape, np.bool_)
    for ends in pairwise((*polygon, polygon[0])):
        # From south to north always, so that neighbours compute one and the same shared edge.
        (x1, y1), (x2, y2) = sorted(ends, key=lambda end: end[1])
        if y1 == y2:
            continue
        beside = (y1 <= latitude) & (latitude < y2)
        within ^= beside & (longitude < x1 + (latitude - y1) * ((x2 - x1) / (y2 - y1)))
    return within


def corners_in_region(grid: Grid, tiles: Tiles) -> tuple[tuple[int, int], ...]:
    """Return the tiles of a grid that belong to the region of a recipe.

    Parameters
    ----------
    grid : Grid
    tiles : Tiles
        Size, stride, offset and region.

    Returns
    -------
    tuple of tuple of int
        Row and column of the north-west pixels, in reading order.

    Raises
    ------
    EmptySplitError
        If no tile fits into the grid, or the region holds the centre of none.
    """
    corners = tuple(tile_corners(grid.shape, tiles))
    if not corners:
        raise EmptySplitError(
            "no tile fits into the grid",
            where="tiles",
            got=f"tiles of {tiles.size} pixels at offset {list(tiles.offset)}",
            expected=f"at most what fits into {grid.height} x {grid.width} pixels",
            hint="choose a smaller tiles.size and tiles.stride",
        )
    polygon = tiles.region.corners()
    if polygon is None:
        return corners
    longitude, latitude = tile_centres(grid, corners, tiles.size)
    kept = inside(polygon, longitude, latitude)
    if not kept.any():
        raise EmptySplitError(
            f"the region holds no tile of the grid {grid.name}",
            where="tiles.region",
            got=", ".join(f"({east:g}, {north:g})" for east, north in polygon[:4])
            + (" ..." if len(polygon) > 4 else ""),
            expected="(longitude, latitude) around the centre of a tile; centres lie from "
            f"{longitude.min():.1f} to {longitude.max():.1f} E "
            f"and from {latitude.min():.1f} to {latitude.max():.1f} N",
            hint=f"widen the region (tiles are {tiles.size * grid.pixel_km:g} km wide), or choose "
            "smaller tiles or another tiles.offset",
        )
    return tuple(corner for corner, keep in zip(corners, kept.tolist(), strict=True) if keep)
