"""On which grid and when the fields of a file are, by its CF coordinates.

Whatever is not clear is refused: nothing about grid, projection, units or time is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from pyproj import CRS
from pyproj.exceptions import CRSError

from minkgen.errors import SourceError
from minkgen.grid import OWN_GRID, Grid

__all__ = ["Layout", "layout_of"]

# Units by their factor to mm/h, as `_plain_unit` writes them.
_RATES = {
    **dict.fromkeys(("mm/h", "mm h-1", "kg m-2 h-1", "kg/m2/h"), 1.0),
    **dict.fromkeys(("kg m-2 s-1", "kg/m2/s", "mm s-1", "mm/s"), 3600.0),
    **dict.fromkeys(("m s-1", "m/s"), 3_600_000.0),
}
_LENGTHS = {
    **dict.fromkeys(("m", "metre", "metres", "meter", "meters"), 1.0),
    **dict.fromkeys(("km", "kilometre", "kilometres", "kilometer", "kilometers"), 1000.0),
}
_NAMES = {
    "time": ("time", "t", "valid_time"),
    "y": ("y", "yc", "northing", "projection_y_coordinate"),
    "x": ("x", "xc", "easting", "projection_x_coordinate"),
}
_STANDARD_NAMES = {
    "time": "time",
    "y": "projection_y_coordinate",
    "x": "projection_x_coordinate",
}
_DEGREES = re.compile(r"degrees?([_ ]?(north|south|east|west|[nsew]))?", re.IGNORECASE)
# Coordinates may be off an even spacing by so much of a pixel, as float32 leaves them; sides of a
# pixel may differ by a tenth of that.
_TOLERANCE = 0.01

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """What a file says of its fields.

    Attributes
    ----------
    variable : str
        The rain rate.
    dimensions : tuple of str
        Its dimensions that are time, y and x.
    turned : tuple of bool
        Whether y and x run the other way than north to south and west to east.
    factor : float
        From its unit to mm/h.
    grid : Grid
        Named `own`.
    times : tuple of datetime
        UTC, as they stand in the file.
    """

    variable: str
    dimensions: tuple[str, str, str]
    turned: tuple[bool, bool]
    factor: float
    grid: Grid
    times: tuple[datetime, ...]


def layout_of(dataset: xr.Dataset, variable: str | None, crs: str | None, where: str) -> Layout:
    """Read what a file says of its fields.

    Parameters
    ----------
    dataset : xarray.Dataset
    variable : str, optional
        The rain rate; needed only where several variables could be.
    crs : str, optional
        Projection, where the file has no grid mapping.
    where : str
        The file, for errors.

    Returns
    -------
    Layout

    Raises
    ------
    SourceError
        If anything is missing, ambiguous or irregular; the message says what and how to mend it.
    """
    name = _choose_variable(dataset, variable, where)
    field = dataset[name]
    time, y, x = _dimensions(dataset, field, where)
    factor = _rate_factor(field, where)
    _refuse_masked_zero(field, where)
    axes, units = {}, {}
    for axis, dimension in (("x", x), ("y", y)):
        units[axis] = _length_factor(dataset[dimension], where)
        axes[axis] = dataset[dimension].values.astype(np.float64) * units[axis]
    projection = _projection(dataset, field, crs, max(units.values()), where)
    grid, turned = _grid(axes["x"], axes["y"], projection, where)
    return Layout(name, (time, y, x), turned, factor, grid, _times(dataset[time], where))


def _plain_unit(unit: object) -> str:
    """Write a unit as the table has it: `mm hr**-1` is `mm h-1`."""
    text = re.sub(r"\*\*|\^", "", " ".join(str(unit).split()))
    return re.sub(r"\b(hours?|hr)(?=-1|\b)", "h", text)


def _choose_variable(dataset: xr.Dataset, wanted: str | None, where: str) -> str:
    candidates = [
        str(name)
        for name, each in dataset.data_vars.items()
        if each.ndim == 3 and each.dtype.kind in "fiu"
    ]
    if wanted is not None:
        if wanted not in candidates:
            raise SourceError(
                "there is no such variable with three dimensions",
                where=where,
                got=wanted,
                expected=", ".join(candidates) or "a variable (time, y, x)",
                hint="mend source.variable in the recipe",
            )
        return wanted
    rates = [name for name in candidates if _plain_unit(dataset[name].attrs.get("units")) in _RATES]
    found = rates or candidates
    if len(found) != 1:
        raise SourceError(
            "it is not clear which variable is the rain rate",
            where=where,
            got=", ".join(found) or f"variables {', '.join(map(str, dataset.data_vars)) or 'none'}",
            expected="one variable with the dimensions time, y and x and a unit of rain rate",
            hint="name it: source.variable in the recipe" if found else None,
        )
    return found[0]


def _dimensions(dataset: xr.Dataset, field: xr.DataArray, where: str) -> tuple[str, str, str]:
    """Return which dimensions are time, y and x, by standard name, axis, or name."""
    found: dict[str, str] = {}
    for dimension in map(str, field.dims):
        if dimension not in dataset.coords:
            raise SourceError(
                "a dimension has no coordinate",
                where=f"{where}, {field.name}",
                got=dimension,
                expected="time, and x and y in metres of a projection, a vector each",
                hint="write them into the file; docs/own-data.md shows how",
            )
        coordinate = dataset[dimension]
        _refuse_degrees(coordinate, where)
        axis = _axis_of(coordinate)
        if axis is not None and axis not in found:
            found[axis] = dimension
    if len(found) != 3:
        raise SourceError(
            "it is not clear which dimensions are time, y and x",
            where=f"{where}, {field.name}",
            got=", ".join(map(str, field.dims)),
            expected="coordinates with the standard_name time, projection_y_coordinate and "
            "projection_x_coordinate, or an axis attribute T, Y, X, or the names time, y, x",
            hint="write these attributes into the file; docs/own-data.md shows how",
        )
    return found["time"], found["y"], found["x"]


def _axis_of(coordinate: xr.DataArray) -> str | None:
    attributes, name = coordinate.attrs, str(coordinate.name).lower()
    for axis in _NAMES:
        if attributes.get("standard_name") == _STANDARD_NAMES[axis]:
            return axis
    for axis in _NAMES:
        is_named = name in _NAMES[axis] or attributes.get("axis") == axis[0].upper()
        if is_named or (axis == "time" and coordinate.dtype.kind == "M"):
            return axis
    return None


def _refuse_degrees(coordinate: xr.DataArray, where: str) -> None:
    standard_name = str(coordinate.attrs.get("standard_name", ""))
    unit = str(coordinate.attrs.get("units", ""))
    names = ("lat", "latitude", "lon", "longitude", "rlat", "rlon")
    if (
        standard_name.endswith(("latitude", "longitude"))
        or _DEGREES.fullmatch(unit)
        or str(coordinate.name).lower() in names
    ):
        raise SourceError(
            "the fields are on a grid of degrees, whose pixels have no one size in km",
            where=f"{where}, {coordinate.name}",
            got=unit or standard_name or "longitude or latitude",
            expected="x and y in metres of a projection",
            hint="reproject first, for example with rioxarray: "
            'fields.rio.write_crs("EPSG:4326").rio.reproject("EPSG:3035", resolution=1000)',
        )


def _rate_factor(field: xr.DataArray, where: str) -> float:
    unit = field.attrs.get("units")
    factor = _RATES.get(_plain_unit(unit))
    if factor is None:
        raise SourceError(
            "the unit of the fields is none of a rain rate that is known",
            where=f"{where}, {field.name}",
            got="no units attribute" if unit is None else repr(unit),
            expected=", ".join(_RATES),
            hint="accumulations: divide by the hours first; then write the attribute `units`",
        )
    return factor


def _refuse_masked_zero(field: xr.DataArray, where: str) -> None:
    """Refuse a file in which dry pixels would be read as missing."""
    encoding = field.encoding
    for key in ("_FillValue", "missing_value"):
        fill = encoding.get(key)
        if fill is None:
            continue
        decoded = np.asarray(fill, np.float64) * encoding.get("scale_factor", 1.0)
        if np.any(decoded + encoding.get("add_offset", 0.0) == 0.0):
            raise SourceError(
                "0 mm/h is marked as missing: dry pixels would count as without coverage",
                where=f"{where}, {field.name}",
                got=f"{key} = {fill}",
                expected="a fill value that is no rain rate, for example NaN",
                hint="take the attribute away, if 0 means dry, and write the file again",
            )


def _length_factor(coordinate: xr.DataArray, where: str) -> float:
    unit = coordinate.attrs.get("units")
    factor = _LENGTHS.get(str(unit))
    if factor is None:
        raise SourceError(
            "the unit of a coordinate is no length that is known",
            where=f"{where}, {coordinate.name}",
            got="no units attribute" if unit is None else repr(unit),
            expected=", ".join(_LENGTHS),
            hint="write the attribute `units` of x and y",
        )
    return factor


def _projection(
    dataset: xr.Dataset, field: xr.DataArray, given: str | None, unit_m: float, where: str
) -> str:
    """Return the projection as WKT in metres."""
    attributes = _grid_mapping(dataset, field, where)
    if attributes is None and given is None:
        raise SourceError(
            "the projection is not known",
            where=f"{where}, {field.name}",
            got="no grid mapping",
            expected="a variable with CF's grid mapping attributes or crs_wkt, named by the "
            "attribute grid_mapping of the fields",
            hint="say it in the recipe, for example source.crs: EPSG:3035",
        )
    try:
        stated = None if attributes is None else CRS.from_cf(dict(attributes))
        wanted = None if given is None else CRS.from_user_input(given)
    except (CRSError, KeyError, ValueError, TypeError) as error:
        raise SourceError(
            "the projection cannot be read",
            where=f"{where}, {field.name}" if given is None else "source.crs",
            got=error,
            expected="CF's grid mapping attributes, `EPSG:...`, PROJ or WKT",
            hint="mend the grid mapping of the file, or source.crs in the recipe",
        ) from error
    if stated is not None and wanted is not None and stated != wanted:
        raise SourceError(
            "the file has another projection than the recipe",
            where=where,
            got=stated.name,
            expected=wanted.name,
            hint="leave source.crs out of the recipe, or mend the file",
        )
    if stated is not None and unit_m != 1.0:
        _refuse_offsets_without_unit(attributes or {}, where)
    crs = stated or wanted
    assert crs is not None  # noqa: S101 - one of them is there
    return _in_metres(crs, where)


def _grid_mapping(dataset: xr.Dataset, field: xr.DataArray, where: str) -> Mapping[str, Any] | None:
    """Return the attributes of the grid mapping of a field; None where it has none."""
    named = field.attrs.get("grid_mapping", field.encoding.get("grid_mapping"))
    if named is not None:
        name = str(named).split()[0].rstrip(":")
        if name not in dataset.variables:
            raise SourceError(
                "the grid mapping is missing",
                where=f"{where}, {field.name}",
                got=name,
                hint="write that variable into the file, or take the attribute grid_mapping away "
                "and say source.crs in the recipe",
            )
        return dict(dataset[name].attrs)
    telling = [
        dict(variable.attrs)
        for variable in dataset.variables.values()
        if {"grid_mapping_name", "crs_wkt"} & variable.attrs.keys()
    ]
    return telling[0] if len(telling) == 1 else None


def _refuse_offsets_without_unit(attributes: Mapping[str, Any], where: str) -> None:
    """Refuse false origins of which it is not clear whether they are metres or km."""
    has_text = {"crs_wkt", "spatial_ref"} & attributes.keys()
    if not has_text and (attributes.get("false_easting") or attributes.get("false_northing")):
        raise SourceError(
            "it is not clear whether the false origin is in metres or in km",
            where=f"{where}, grid mapping",
            expected="x and y in metres, or a grid mapping with crs_wkt",
        )


def _in_metres(crs: CRS, where: str) -> str:
    units = {axis.unit_conversion_factor for axis in crs.axis_info[:2]}
    if not crs.is_projected or units not in ({1.0}, {1000.0}):
        raise SourceError(
            "the coordinate reference system is no projection in metres or km",
            where=where,
            got=crs.name,
            expected="a projection, with x and y in metres",
            hint="reproject first, for example with rioxarray: "
            'fields.rio.reproject("EPSG:3035", resolution=1000)',
        )
    if units == {1000.0}:
        described = crs.to_json_dict()
        for axis in described["coordinate_system"]["axis"]:
            axis["unit"] = "metre"
        described.pop("id", None)
        crs = CRS.from_json_dict({**described, "name": f"{crs.name}, in metres"})
    wkt: str = crs.to_wkt()
    return wkt


def _grid(x: Float64, y: Float64, projection: str, where: str) -> tuple[Grid, tuple[bool, bool]]:
    """Return the grid, and whether y and x run the other way."""
    for name, centres in (("x", x), ("y", y)):
        if centres.size < 2 or not np.isfinite(centres).all():
            raise SourceError(
                "a coordinate is no row of pixel centres",
                where=f"{where}, {name}",
                got=f"{centres.size} values, {int(np.isnan(centres).sum())} of them missing",
                expected="two or more numbers",
            )
    step_x, step_y = ((each[-1] - each[0]) / (each.size - 1) for each in (x, y))
    # To the millimetre: coordinates in float32 do not tell a step of 1 km more exactly.
    pixel_m = round(abs(step_x), 3)
    if not pixel_m > 0 or abs(abs(step_x) - abs(step_y)) > 0.1 * _TOLERANCE * pixel_m:
        raise SourceError(
            "the pixels are not square",
            where=where,
            got=f"{abs(step_x):g} x {abs(step_y):g} m (x, y)",
            expected="one pixel size",
            hint="resample first, for example with rioxarray: rio.reproject(..., resolution=1000)",
        )
    turned = (bool(step_y > 0), bool(step_x < 0))
    x, y = (x[::-1] if turned[1] else x), (y[::-1] if turned[0] else y)
    west, north = float(x[0]) - pixel_m / 2, float(y[0]) + pixel_m / 2
    grid = Grid(OWN_GRID, y.size, x.size, pixel_m / 1000.0, west, north, projection)
    for name, centres, even in (("x", x, grid.x), ("y", y, grid.y)):
        off = np.abs(centres - even)
        worst = int(np.argmax(off))
        if off[worst] > _TOLERANCE * pixel_m:
            raise SourceError(
                "a coordinate is not evenly spaced",
                where=f"{where}, {name}",
                got=f"{centres[worst]:.3f} m",
                expected=f"{even[worst]:.3f} m, within {100 * _TOLERANCE:g} % of a pixel",
                hint="resample first, for example with rioxarray: rio.reproject(...)",
            )
    return grid, turned


def _times(coordinate: xr.DataArray, where: str) -> tuple[datetime, ...]:
    values = coordinate.values
    if values.dtype.kind != "M" or np.isnat(values).any():
        raise SourceError(
            "the times cannot be read",
            where=f"{where}, {coordinate.name}",
            got=f"{coordinate.attrs.get('units', 'no units')}, {values.dtype}",
            expected="times of the standard calendar, as `minutes since 2024-07-01 00:00`",
            hint="write the time coordinate as datetime64 with xarray",
        )
    whole = values.astype("datetime64[m]")
    if (whole != values).any():
        raise SourceError(
            "a time is no whole minute",
            where=f"{where}, {coordinate.name}",
            got=values[whole != values][0],
            expected="whole minutes",
            hint="round the times first: fields.assign_coords(time=fields.time.dt.round('min'))",
        )
    return tuple(time.replace(tzinfo=UTC) for time in whole.astype("datetime64[us]").tolist())
