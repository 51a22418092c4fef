"""Grids, north first: OPERA's, of one projection and four registered extents, and one's own.

Arrays run from north to south (row 0 is the northernmost) and from west to east. Coordinates are
pixel centres in metres of a projection (x grows eastward, y decreases southward). In OPERA's, a
Lambert azimuthal equal-area projection, the outer north-west corner of the composites is the
origin. A grid of one's own is described by the fields that it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pyproj import CRS, Transformer

from minkgen.errors import SourceError

__all__ = [
    "GRIDS",
    "OPERA_1KM",
    "OPERA_2KM",
    "OWN_GRID",
    "TEST_1KM",
    "TEST_2KM",
    "Grid",
    "grid_coordinates",
    "grid_of",
    "match_grid",
    "opera_crs",
]

OPERA_PROJECTION = (
    "+proj=laea +lat_0=55.0 +lon_0=10.0 +x_0=1950000.0 +y_0=-2100000.0 +units=m +ellps=WGS84"
)

# What a recipe and a store call a grid that is described by the fields on it.
OWN_GRID = "own"

# NIMBUS files give corners that are off by (-2.53, -1.03) m; a pixel is 1000 m or more.
CORNER_TOLERANCE_M = 20.0


@dataclass(frozen=True)
class Grid:
    """A regular grid of square pixels in a projection, OPERA's by default.

    Parameters
    ----------
    name : str
        The name under which the grid is registered and stored.
    height, width : int
        Number of rows (north to south) and columns (west to east).
    pixel_km : float
        Side of a pixel in km.
    west, north : float
        Outer north-west corner in metres.
    projection : str
        PROJ string or WKT, in metres.

    Examples
    --------
    >>> OPERA_2KM.x[:2], OPERA_2KM.y[:2]
    (array([1000., 3000.]), array([-1000., -3000.]))
    """

    name: str
    height: int
    width: int
    pixel_km: float
    west: float
    north: float
    projection: str = OPERA_PROJECTION

    @property
    def crs(self) -> CRS:
        """The coordinate reference system."""
        return _crs(self.projection)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def pixel_m(self) -> float:
        """Side of a pixel in metres."""
        return self.pixel_km * 1000.0

    @property
    def x(self) -> npt.NDArray[np.float64]:
        """Centres of the columns in metres, increasing eastward, shape (width,)."""
        return self.west + self.pixel_m * (np.arange(self.width, dtype=np.float64) + 0.5)

    @property
    def y(self) -> npt.NDArray[np.float64]:
        """Centres of the rows in metres, decreasing southward, shape (height,)."""
        return self.north - self.pixel_m * (np.arange(self.height, dtype=np.float64) + 0.5)

    @property
    def corners(self) -> dict[str, tuple[float, float]]:
        """Positions (x, y) of the outer corners in metres, keyed UL, UR, LL, LR as in ODIM."""
        east = self.west + self.width * self.pixel_m
        south = self.north - self.height * self.pixel_m
        return {
            "UL": (self.west, self.north),
            "UR": (east, self.north),
            "LL": (self.west, south),
            "LR": (east, south),
        }

    @property
    def corners_lonlat(self) -> dict[str, tuple[float, float]]:
        """Longitude and latitude of the outer corners in degrees, keyed as `corners`."""
        to_lonlat = _transformer(self.projection, inverse=True)
        return {key: to_lonlat.transform(x, y) for key, (x, y) in self.corners.items()}

    def pixel_of(self, longitude: float, latitude: float) -> tuple[int, int]:
        """Row and column of the pixel that holds a place.

        Parameters
        ----------
        longitude, latitude : float
            Degrees on WGS84.

        Returns
        -------
        tuple of int
            Row (from north) and column (from west); outside the grid they lie outside its shape.

        Examples
        --------
        >>> OPERA_2KM.pixel_of(10.0, 55.0)
        (1050, 975)
        """
        x, y = _transformer(self.projection).transform(longitude, latitude)
        # A place on a pixel's edge, up to a millimetre of projection noise, belongs to the
        # pixel south-east of it.
        column = np.floor(np.round((x - self.west) / self.pixel_m, 6))
        row = np.floor(np.round((self.north - y) / self.pixel_m, 6))
        return int(row), int(column)

    def as_dict(self) -> dict[str, Any]:
        """Return what `grid_of` reads, as plain JSON values."""
        return asdict(self)


def grid_of(name: str, described: Mapping[str, Any] | None = None) -> Grid | None:
    """Return the grid that a store names, None where it is not known.

    Parameters
    ----------
    name : str
        A registered name, or `own`.
    described : mapping, optional
        Of one's own grid, what `Grid.as_dict` gave.

    Examples
    --------
    >>> grid_of("own", {**OPERA_2KM.as_dict(), "name": "own"}).shape
    (2200, 1900)
    """
    if name == OWN_GRID and described is not None:
        try:
            return Grid(**described)
        except TypeError:
            return None
    return GRIDS.get(name)


@cache
def _crs(projection: str) -> CRS:
    return CRS.from_user_input(projection)


def opera_crs() -> CRS:
    """Return the coordinate reference system of all OPERA composites."""
    return _crs(OPERA_PROJECTION)


@cache
def _transformer(projection: str, *, inverse: bool = False) -> Transformer:
    """Return the transformer from degrees to metres, or back."""
    metres = _crs(projection)
    degrees = metres.geodetic_crs
    source, target = (metres, degrees) if inverse else (degrees, metres)
    return Transformer.from_crs(source, target, always_xy=True)


OPERA_2KM = Grid("opera_2km", 2200, 1900, 2.0, 0.0, 0.0)
OPERA_1KM = Grid("opera_1km", 4400, 3800, 1.0, 0.0, 0.0)
# 4 x 5 whole tiles over the Netherlands, Germany and Denmark: tests need no full composites.
TEST_2KM = Grid("test_2km", 512, 640, 2.0, 1_280_000.0, -1_792_000.0)
TEST_1KM = Grid("test_1km", 512, 640, 1.0, 1_280_000.0, -1_792_000.0)

GRIDS: dict[str, Grid] = {grid.name: grid for grid in (OPERA_2KM, OPERA_1KM, TEST_2KM, TEST_1KM)}


def _projection_parameters(projdef: str) -> dict[str, str | float]:
    parameters: dict[str, str | float] = {}
    for token in projdef.split():
        key, _, value = token.lstrip("+").partition("=")
        try:
            parameters[key] = float(value)
        except ValueError:
            parameters[key] = value
    return parameters


def match_grid(
    projdef: str,
    shape: tuple[int, int],
    pixel_m: tuple[float, float],
    corners_lonlat: dict[str, tuple[float, float]],
    *,
    where: object,
) -> Grid:
    """Find the registered grid that a file describes, within a tolerance.

    Parameters
    ----------
    projdef : str
        PROJ string of the file.
    shape : tuple of int
        Rows and columns.
    pixel_m : tuple of float
        Pixel size along x and y in metres.
    corners_lonlat : dict
        Longitude and latitude of the outer corners, keyed UL, UR, LL, LR.
    where : object
        The file, for the error.

    Returns
    -------
    Grid
        The registered grid, whose exact coordinates replace the file's rounded ones.

    Raises
    ------
    SourceError
        If projection, shape, pixel size or a corner fits no registered grid.
    """
    if _projection_parameters(projdef) != _projection_parameters(OPERA_PROJECTION):
        raise SourceError(
            "the file is in an unknown projection",
            where=where,
            got=projdef,
            expected=OPERA_PROJECTION,
        )
    from_lonlat = _transformer(OPERA_PROJECTION)
    given = {key: from_lonlat.transform(*lonlat) for key, lonlat in corners_lonlat.items()}
    for grid in GRIDS.values():
        if grid.shape != shape or pixel_m != (grid.pixel_m, grid.pixel_m):
            continue
        if all(
            abs(given[key][axis] - corner[axis]) <= CORNER_TOLERANCE_M
            for key, corner in grid.corners.items()
            for axis in (0, 1)
        ):
            return grid
    corner_text = ", ".join(f"{key} ({x:.0f}, {y:.0f}) m" for key, (x, y) in given.items())
    known = "; ".join(f"{g.name} {g.height} x {g.width} of {g.pixel_m:g} m" for g in GRIDS.values())
    raise SourceError(
        "the file is on an unknown grid",
        where=where,
        got=f"{shape[0]} x {shape[1]} pixels of {pixel_m[0]:g} x {pixel_m[1]:g} m, {corner_text}",
        expected=f"one of {known}, corners within {CORNER_TOLERANCE_M:g} m",
    )


def grid_coordinates(grid: Grid) -> dict[str, Any]:
    """Return the coordinate variables of a grid with their CF attributes."""
    axis = {"units": "m", "grid_mapping": "spatial_ref"}
    return {
        "y": ("y", grid.y, {"standard_name": "projection_y_coordinate", **axis}),
        "x": ("x", grid.x, {"standard_name": "projection_x_coordinate", **axis}),
        "spatial_ref": ((), np.int32(0), grid.crs.to_cf()),
    }
