"""Digital elevation models as files: heights by coordinates, whatever their order or longitudes.

GeoTIFF or NetCDF, read by window through GDAL (rasterio, of the extra `geo`), so that a model
larger than memory is fine. The rows of a file may run north or south, its longitudes from -180, 0,
20 or anywhere: pixels are found by coordinates, never by index.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, floor, isclose
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pyproj import CRS

from minkgen.errors import InputError, MinkgenError

__all__ = ["DemFile", "open_dem"]

_DRIVERS = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"CDF\1": "netCDF",
    b"CDF\2": "netCDF",
    b"CDF\5": "netCDF",
    b"\x89HDF": "netCDF",
}
_METRES = {"", "m", "meter", "meters", "metre", "metres"}
# From below the deepest trench to above the highest peak: heights in feet or decimetres, and void
# marks such as -32768 that no attribute declares, lie outside.
_PLAUSIBLE_M = (-12_000.0, 9_000.0)
# Interpolation between centres looks at one more pixel on each side; a second is spare.
_MARGIN = 2


@dataclass(frozen=True)
class DemFile:
    """An open elevation model.

    Attributes
    ----------
    path : Path
    crs : CRS
        Of the coordinates.
    variable : str or None
        The NetCDF variable; None for a GeoTIFF.
    west, first_edge : float
        Outer edge of the first column and of the first row, in units of the coordinates.
    step_x, step_y : float
        Sides of a pixel; `step_y` is negative where rows run from north to south.
    """

    path: Path
    crs: CRS
    variable: str | None
    west: float
    first_edge: float
    step_x: float
    step_y: float
    _dataset: Any

    def read(
        self, west: float, south: float, east: float, north: float
    ) -> tuple[npt.NDArray[np.float32], tuple[float, float]] | None:
        """Read the heights within bounds, and a little beyond.

        Parameters
        ----------
        west, south, east, north : float
            In units of the coordinates.

        Returns
        -------
        heights : ndarray of float32, shape (h, w)
            Metres, in the file's order of rows; NaN where the file has no data.
        corner : tuple of float
            Outer edges (x, y) of the first column, in the longitudes of the bounds, and row.
            None in place of both where the file does not reach.

        Raises
        ------
        InputError
            If the file is damaged, or holds what cannot be heights in metres.
        """
        shifted = self._west_near((west + east) / 2)
        columns = self._span(shifted, self.step_x, west, east)
        rows = self._span(self.first_edge, self.step_y, south, north)
        first_row, last_row = max(rows[0], 0), min(rows[1], self._dataset.height)
        runs = list(self._column_runs(*columns))
        if first_row >= last_row or not runs:
            return None
        parts = [self._read_window(first_row, last_row, first, count) for first, count in runs]
        first_column = columns[0] if self._period else max(columns[0], 0)
        corner = (
            shifted + first_column * self.step_x,
            self.first_edge + first_row * self.step_y,
        )
        return np.concatenate(parts, axis=1), corner

    @property
    def _period(self) -> int | None:
        """Return after how many columns the same meridian comes again, in a model of the globe."""
        if not self.crs.is_geographic:
            return None
        columns = round(360 / self.step_x)
        whole = isclose(columns * self.step_x, 360, abs_tol=0.05 * self.step_x)
        return columns if whole and self._dataset.width >= columns else None

    def _west_near(self, x: float) -> float:
        """Return the western edge, by so many turns that the middle of the file is nearest to x."""
        if not self.crs.is_geographic:
            return self.west
        middle = self.west + self.step_x * float(self._dataset.width) / 2
        return self.west + 360.0 * round((x - middle) / 360)

    @staticmethod
    def _span(edge: float, step: float, low: float, high: float) -> tuple[int, int]:
        """Return the first index, and that after the last, of what lies between two places."""
        ends = sorted(((low - edge) / step, (high - edge) / step))
        return floor(ends[0]) - _MARGIN, ceil(ends[1]) + _MARGIN

    def _column_runs(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield first column and count of the runs of neighbours in the file, from west to east."""
        period = self._period
        if period is None:
            first, last = max(first, 0), min(last, self._dataset.width)
            if first < last:
                yield first, last - first
            return
        while first < last:
            count = min(last - first, period - first % period)
            yield first % period, count
            first += count

    def _read_window(self, row: int, end: int, column: int, count: int) -> npt.NDArray[np.float32]:
        from rasterio.errors import RasterioIOError
        from rasterio.windows import Window

        window = Window(column, row, count, end - row)
        try:
            raw = self._dataset.read(1, window=window, masked=True)
        except RasterioIOError as error:
            raise InputError("the DEM cannot be read", where=self.path, got=error) from error
        heights: npt.NDArray[np.float32] = raw.astype(np.float32).filled(np.nan)
        heights *= np.float32(self._dataset.scales[0])
        heights += np.float32(self._dataset.offsets[0])
        low, high = _PLAUSIBLE_M
        strange = heights[(heights < low) | (heights > high)]
        if strange.size:
            raise InputError(
                "the DEM holds what cannot be heights",
                where=self.path,
                got=f"{strange.size} values such as {strange[0]:g}",
                expected=f"{low:g} to {high:g} m, and missing values declared as such",
            )
        return heights


@contextmanager
def open_dem(path: Path, variable: str | None = None) -> Iterator[DemFile]:
    """Open an elevation model for the length of a `with` block.

    Parameters
    ----------
    path : Path
        A GeoTIFF of one band in any projection, or a NetCDF file on regular longitudes and
        latitudes.
    variable : str, optional
        The NetCDF variable; needed only where there are several.

    Raises
    ------
    InputError
        If the file is not there, of another kind, not on a regular grid, or not in metres.
    MinkgenError
        If the extra `geo` is not installed.
    """
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
    except ImportError as error:
        raise MinkgenError(
            "reading a DEM needs the extra 'geo'",
            got=error,
            hint='pip install "minkgen[geo]"',
        ) from error
    driver = _driver(path, variable)
    name = f'NETCDF:"{path}":{variable}' if variable else str(path)
    try:
        with warnings.catch_warnings():
            # Said below, and as an error.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(name, driver=driver)
    except RasterioIOError as error:
        raise InputError(
            "the DEM cannot be opened",
            where=path,
            got=error,
            hint="`rio info FILE` tells more; name another file in the recipe: dem.path",
        ) from error
    with dataset:
        _refuse_other_than_one_grid(path, dataset)
        transform = dataset.transform
        yield DemFile(
            path=path,
            crs=_crs(path, dataset),
            variable=dataset.tags(1).get("NETCDF_VARNAME"),
            west=transform.c,
            first_edge=transform.f,
            step_x=transform.a,
            step_y=transform.e,
            _dataset=dataset,
        )


def _driver(path: Path, variable: str | None) -> str:
    """Return the GDAL driver by the first bytes: no other may open what a recipe names."""
    try:
        with path.open("rb") as stream:
            signature = stream.read(4)
    except OSError as error:
        raise InputError(
            "the DEM cannot be read", where=path, got=error, hint="mend dem.path in the recipe"
        ) from error
    driver = _DRIVERS.get(signature)
    if driver is None:
        raise InputError(
            "the DEM is of an unknown format",
            where=path,
            got=f"it begins with {signature!r}",
            expected="GeoTIFF or NetCDF",
        )
    if variable is not None and driver != "netCDF":
        raise InputError(
            "a GeoTIFF has no variables",
            where=path,
            got=f"variable {variable!r}",
            hint="leave dem.variable out of the recipe",
        )
    return driver


def _refuse_other_than_one_grid(path: Path, dataset: Any) -> None:
    if dataset.count == 0 and dataset.subdatasets:
        names = ", ".join(name.rpartition(":")[2] for name in dataset.subdatasets)
        raise InputError(
            "the DEM has several variables",
            where=path,
            got=names,
            hint="name one of them: dem.variable in the recipe",
        )
    if dataset.count != 1:
        raise InputError(
            "the DEM is not one layer", where=path, got=f"{dataset.count} layers", expected="one"
        )
    transform = dataset.transform
    if transform.is_identity or transform.b or transform.d or transform.a <= 0:
        raise InputError(
            "the DEM is not on a regular grid",
            where=path,
            got=f"transform {tuple(transform)[:6]}",
            expected="evenly spaced rows and columns along its coordinates",
            hint="reproject it first, for example with gdalwarp",
        )
    unit = dataset.units[0] or ""
    if unit.lower() not in _METRES:
        raise InputError(
            "the DEM is not in metres",
            where=path,
            got=unit,
            expected="metres",
            hint="convert it first, for example with gdal_calc",
        )


def _crs(path: Path, dataset: Any) -> CRS:
    if dataset.crs is not None:
        return CRS.from_wkt(dataset.crs.to_wkt())
    units = {value for key, value in dataset.tags().items() if key.endswith("#units")}
    if {"degrees_east", "degrees_north"} <= units:  # CF: longitudes and latitudes by their units
        return CRS.from_epsg(4326)
    raise InputError(
        "the DEM does not say where it lies",
        where=path,
        got="neither a coordinate reference system nor coordinates in degrees_east, degrees_north",
        hint="write it as a GeoTIFF with its coordinate reference system",
    )
