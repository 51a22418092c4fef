"""Reading OPERA composites (ODIM_H5): one file in, physical values with their three states out.

ODIM knows three states of a pixel and they stay three: `nodata` (no coverage) becomes NaN,
`undetect` (measured, no echo) becomes 0.0 for rates and accumulations and -inf dBZ for
reflectivity, everything else is `raw * gain + offset`. Infinite or NaN raw values count as missing
and are counted. Source: EUMETNET OPERA data information model, versions 2.0 to 2.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr

from minkgen.errors import SourceError
from minkgen.grid import Grid, match_grid, opera_crs
from minkgen.opera.keys import ArchiveKey

__all__ = [
    "QUANTITIES",
    "SYNTHETIC_MARK",
    "Composite",
    "Quantity",
    "open_composite",
    "read_composite",
]

# Stands in `what/source` of made-up files, so that nobody takes them for measurements.
SYNTHETIC_MARK = "CMT:synthetic"
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Quantity:
    """What an ODIM quantity is called here, in which unit, and what its `undetect` means."""

    variable: str
    long_name: str
    units: str
    undetect: float


QUANTITIES = {
    "RATE": Quantity("rain_rate", "surface rain rate", "mm/h", 0.0),
    "ACRR": Quantity("rain_accumulation", "rain accumulated over the window", "mm", 0.0),
    "DBZH": Quantity("reflectivity", "horizontal reflectivity factor", "dBZ", -np.inf),
}

_QUALITY_MEANING = {
    "ODYSSEY": "quality index QIND of the composite, 0 (worst) to 1; NaN where there is no echo",
    "NIMBUS": "total quality index pl.imgw.quality.qi_total, 0 (worst) to 1; 0 outside coverage",
    "CIRRUS": "total quality index pl.imgw.quality.qi_total, 0 (worst) to 1; NaN outside coverage",
}


@dataclass(frozen=True)
class Composite:
    """One decoded composite.

    Attributes
    ----------
    quantity : str
        ODIM quantity: RATE, ACRR or DBZH.
    era : str
        The production line: ODYSSEY, NIMBUS or CIRRUS.
    odim_version : str
        Version of the data model, for example `2.4`.
    grid : Grid
    time : datetime
        Nominal time (UTC).
    window : tuple of datetime
        Start and end of the measurements; metadata only.
    values : ndarray of float32, shape (H, W)
        Physical values, north first; NaN without coverage.
    quality : ndarray of float32, shape (H, W), or None
        As in the file; NaN where the product defines none.
    source : str
        Who made it, as ODIM's `what/source` says (made-up files hold `SYNTHETIC_MARK`).
    radars : tuple of str
        The radars that contributed.
    not_finite : int
        Raw values that were infinite or NaN and count as missing.
    """

    quantity: str
    era: str
    odim_version: str
    grid: Grid
    time: datetime
    window: tuple[datetime, datetime]
    values: npt.NDArray[np.float32]
    quality: npt.NDArray[np.float32] | None
    source: str
    radars: tuple[str, ...]
    not_finite: int


class _File:
    """Attribute access with errors that name the file, the place, and what was expected."""

    def __init__(self, path: Path, root: h5py.File) -> None:
        self.path = path
        self.root = root

    def find(self, name: str, places: tuple[str, ...]) -> Any:
        """Return the attribute from the first place that has it."""
        for place in places:
            group = self.root.get(place)
            if group is not None and name in group.attrs:
                return group.attrs[name]
        raise SourceError(
            "an attribute is missing",
            where=self.path,
            got=f"no {name!r}",
            expected=" or ".join(f"/{place}" for place in places),
        )

    def text(self, name: str, *places: str) -> str:
        """Return a text attribute."""
        value = self.find(name, places)
        if isinstance(value, bytes):
            value = value.decode("ascii", errors="replace")
        if not isinstance(value, str):
            raise self._malformed(name, value, "text")
        return value

    def number(self, name: str, *places: str) -> float:
        """Return a finite number."""
        value = self.find(name, places)
        array = np.asarray(value)
        if array.size != 1 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise self._malformed(name, value, "one finite number")
        return float(array.reshape(()))

    def integer(self, name: str, *places: str) -> int:
        """Return a whole number."""
        value = self.number(name, *places)
        if not value.is_integer():
            raise self._malformed(name, value, "a whole number")
        return int(value)

    def time(self, date_name: str, time_name: str, *places: str) -> datetime:
        """Return a point in time from two attributes."""
        text = f"{self.text(date_name, *places)} {self.text(time_name, *places)}"
        try:
            return datetime.strptime(text, "%Y%m%d %H%M%S").replace(tzinfo=UTC)
        except ValueError as error:
            raise self._malformed(
                f"{date_name} {time_name}", text, "YYYYMMDD and HHMMSS"
            ) from error

    def dataset(self, place: str, grid: Grid) -> npt.NDArray[Any]:
        """Read a two-dimensional array whose declared shape was checked first."""
        dataset = self.root.get(place)
        if not isinstance(dataset, h5py.Dataset):
            raise SourceError("an array is missing", where=self.path, expected=f"/{place}")
        if dataset.dtype.kind not in "iuf" or dataset.shape != grid.shape:
            raise SourceError(
                "an array is not what the file says it is",
                where=f"{self.path}:/{place}",
                got=f"{dataset.dtype} of shape {dataset.shape}",
                expected=f"numbers of shape {grid.shape}",
            )
        return dataset[...]  # type: ignore[no-any-return]

    def _malformed(self, name: str, value: object, expected: str) -> SourceError:
        return SourceError(
            f"the attribute {name!r} is malformed",
            where=self.path,
            got=repr(value),
            expected=expected,
        )


@contextmanager
def _open(path: Path) -> Iterator[_File]:
    """Open an HDF5 file; whatever the library finds wrong with it becomes a SourceError."""
    try:
        with path.open("rb") as stream:
            signature = stream.read(len(_SIGNATURE))
    except OSError as error:
        raise SourceError("the file cannot be read", where=path, got=error) from error
    if signature != _SIGNATURE:
        raise SourceError(
            "the file is not HDF5", where=path, got=f"it begins with {signature!r}", expected="HDF5"
        )
    try:
        with h5py.File(path, "r") as root:
            yield _File(path, root)
    except (OSError, RuntimeError, KeyError) as error:
        raise SourceError(
            "the HDF5 file is damaged",
            where=path,
            got=str(error),
            hint="fetch it again; if it stays so, the upstream copy is damaged",
        ) from error


def _grid(file: _File) -> Grid:
    shape = file.integer("ysize", "where"), file.integer("xsize", "where")
    pixel_m = file.number("xscale", "where"), file.number("yscale", "where")
    corners = {
        corner: (file.number(f"{corner}_lon", "where"), file.number(f"{corner}_lat", "where"))
        for corner in ("UL", "UR", "LL", "LR")
    }
    projdef = file.text("projdef", "where")
    return match_grid(projdef, shape, pixel_m, corners, where=file.path)


def _odim_version(file: _File) -> str:
    conventions = file.text("Conventions", "/")
    match = re.fullmatch(r"ODIM_H5/V(\d+)_(\d+)", conventions)
    if match is None:
        raise SourceError(
            "the file follows unknown conventions",
            where=file.path,
            got=conventions,
            expected="ODIM_H5/V2_0 to V2_4",
        )
    return f"{match[1]}.{match[2]}"


def _era(odim_version: str, grid: Grid) -> str:
    if odim_version in ("2.0", "2.1", "2.2"):
        return "ODYSSEY"
    return "CIRRUS" if grid.pixel_km == 1.0 else "NIMBUS"


def _data_places(group: str) -> tuple[str, str]:
    """Return where the description of an array stands: at its own level, else one level up."""
    return f"{group}/what", f"{group.rsplit('/', 1)[0]}/what"


def _decode(
    file: _File, group: str, grid: Grid, undetect_value: float
) -> tuple[npt.NDArray[np.float32], int]:
    places = _data_places(group)
    gain, offset = file.number("gain", *places), file.number("offset", *places)
    nodata, undetect = file.number("nodata", *places), file.number("undetect", *places)
    raw = file.dataset(f"{group}/data", grid)
    missing = raw == nodata
    not_finite = ~np.isfinite(raw)
    with np.errstate(over="ignore"):
        values = (raw if gain == 1.0 and offset == 0.0 else raw * gain + offset).astype(np.float32)
    values[raw == undetect] = undetect_value
    values[missing | not_finite] = np.nan
    return values, int(np.count_nonzero(not_finite))


def _decode_quality(file: _File, grid: Grid) -> npt.NDArray[np.float32] | None:
    """Return the raw quality; NaN where the file says that it defines none."""
    if "dataset2/what" in file.root and file.text("quantity", "dataset2/what") == "QIND":
        group = "dataset2/data1"
    elif "dataset1/data1/quality1" in file.root:
        group = "dataset1/data1/quality1"
    else:
        return None
    places = (f"{group}/what",) if group.endswith("quality1") else _data_places(group)
    gain, offset = file.number("gain", *places), file.number("offset", *places)
    raw = file.dataset(f"{group}/data", grid)
    quality = (raw * gain + offset).astype(np.float32)
    for name in ("nodata", "undetect"):
        if any(place in file.root and name in file.root[place].attrs for place in places):
            quality[raw == file.number(name, *places)] = np.nan
    return quality


def _radars(file: _File) -> tuple[str, ...]:
    """Return the roster, whatever its spelling: `NOD:x,NOD:y`, `'x','y'` or `x, y`."""
    how = file.root.get("how")
    if how is None or "nodes" not in how.attrs:
        return ()
    nodes = (
        node.strip(" '\"").removeprefix("NOD:") for node in file.text("nodes", "how").split(",")
    )
    return tuple(sorted({node for node in nodes if node}))


def read_composite(path: Path, key: ArchiveKey | None = None) -> Composite:
    """Read and decode a composite.

    Parameters
    ----------
    path : Path
        An ODIM_H5 file.
    key : ArchiveKey, optional
        The archive key it was found under, whose time and product the file must confirm.

    Returns
    -------
    Composite

    Raises
    ------
    SourceError
        If the file is damaged, on an unknown grid, of an unknown or another quantity, or of
        another time than its key says.
    """
    with _open(path) as file:
        odim_version = _odim_version(file)
        kind = file.text("object", "what")
        if kind != "COMP":
            raise SourceError("the file is no composite", where=path, got=kind, expected="COMP")
        time = file.time("date", "time", "what")
        if key is not None and time != key.time:
            raise SourceError(
                "the time in the file is not the one in its name",
                where=path,
                got=f"{time:%FT%R}",
                expected=f"{key.time:%FT%R}",
            )
        name = file.text("quantity", *_data_places("dataset1/data1"))
        expected = QUANTITIES if key is None else (key.quantity,)
        if name not in expected:
            raise SourceError(
                "the file holds another quantity",
                where=path,
                got=name,
                expected=" or ".join(expected),
            )
        grid = _grid(file)
        values, not_finite = _decode(file, "dataset1/data1", grid, QUANTITIES[name].undetect)
        return Composite(
            quantity=name,
            era=_era(odim_version, grid),
            odim_version=odim_version,
            grid=grid,
            time=time,
            window=(
                file.time("startdate", "starttime", "dataset1/what"),
                file.time("enddate", "endtime", "dataset1/what"),
            ),
            values=values,
            quality=_decode_quality(file, grid),
            source=file.text("source", "what"),
            radars=_radars(file),
            not_finite=not_finite,
        )


def open_composite(path: str | Path) -> xr.Dataset:
    """Open an OPERA composite as a dataset in physical units.

    Parameters
    ----------
    path : str or Path
        An ODIM_H5 file of the ODYSSEY, NIMBUS or CIRRUS composites.

    Returns
    -------
    xarray.Dataset
        `rain_rate` (mm/h), `rain_accumulation` (mm) or `reflectivity` (dBZ), and `quality` where
        the file has one, as float32 of shape (y, x), north first. NaN is no coverage; measured
        without echo is 0.0 (-inf dBZ). Coordinates are true pixel centres in metres and the
        nominal time; `spatial_ref` holds the CF grid mapping with WKT. Attributes name product,
        era, ODIM version, measuring window and radars.

    Raises
    ------
    SourceError
        If the file is damaged or not understood, naming what was expected and what was found.
    """
    composite = read_composite(Path(path))
    quantity = QUANTITIES[composite.quantity]
    common = {"grid_mapping": "spatial_ref"}
    variables: dict[str, Any] = {
        quantity.variable: (
            ("y", "x"),
            composite.values,
            {"long_name": quantity.long_name, "units": quantity.units, **common},
        )
    }
    if composite.quality is not None:
        meaning = {
            "long_name": "quality",
            "units": "1",
            "comment": _QUALITY_MEANING[composite.era],
            **common,
        }
        variables["quality"] = (("y", "x"), composite.quality, meaning)
    start, end = composite.window
    return xr.Dataset(
        variables,
        coords={**grid_coordinates(composite.grid), "time": ((), _naive(composite.time))},
        attrs={
            "product": composite.quantity,
            "era": composite.era,
            "odim_version": composite.odim_version,
            "grid": composite.grid.name,
            "window_start": f"{start:%FT%TZ}",
            "window_end": f"{end:%FT%TZ}",
            "source": composite.source,
            "radars": " ".join(composite.radars),
            "not_finite": composite.not_finite,
            "Conventions": "CF-1.11",
        },
    )


def grid_coordinates(grid: Grid) -> dict[str, Any]:
    """Return the coordinate variables of a grid with their CF attributes."""
    axis = {"units": "m", "grid_mapping": "spatial_ref"}
    return {
        "y": ("y", grid.y, {"standard_name": "projection_y_coordinate", **axis}),
        "x": ("x", grid.x, {"standard_name": "projection_x_coordinate", **axis}),
        "spatial_ref": ((), np.int32(0), opera_crs().to_cf()),
    }


def _naive(time: datetime) -> np.datetime64:
    return np.datetime64(time.replace(tzinfo=None), "ns")
