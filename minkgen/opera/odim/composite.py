"""Reading OPERA composites (ODIM_H5): one file in, physical values with their three states out.

ODIM knows three states of a pixel and they stay three: `nodata` (no coverage) becomes NaN,
`undetect` (measured, no echo) becomes 0.0 for rates and accumulations and -inf dBZ for
reflectivity, everything else is `raw * gain + offset`. Values that are infinite or NaN count as
missing and are counted. A file that is not just what the products are known to be is refused.
Source: EUMETNET OPERA data information model, versions 2.0 to 2.4.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minkgen.errors import SourceError
from minkgen.grid import Grid, grid_coordinates, match_grid
from minkgen.opera.keys import ArchiveKey
from minkgen.opera.odim.decoding import PRODUCT_SCALING, Scaling, decode_array
from minkgen.opera.odim.odim_file import OdimFile, open_odim_file
from minkgen.products import PRODUCTS, SYNTHETIC_MARK

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "PRODUCT_SCALING",
    "SYNTHETIC_MARK",
    "Composite",
    "Scaling",
    "open_composite",
    "read_composite",
]

_DATA = "dataset1/data1"
_QUALITY_BESIDE_DATA, _QUALITY_BELOW_DATA = "dataset2/data1", f"{_DATA}/quality1"
_STATES = ("nodata", "undetect")
_ODIM_VERSIONS = ("2.0", "2.1", "2.2", "2.3", "2.4")
_ODYSSEY_VERSIONS = ("2.0", "2.1", "2.2")
# Real windows begin at most an hour before the nominal time and end five minutes after it.
_FARTHEST_WINDOW = timedelta(days=1)
_LONGEST_EXCERPT = 100


_QUALITY_MEANING = {
    "ODYSSEY": "quality index QIND of the composite, 0 (worst) to 1; NaN where there is no echo",
    "NIMBUS": "total quality index pl.imgw.quality.qi_total, 0 (worst) to 1; 0 outside coverage",
    "CIRRUS": "total quality index pl.imgw.quality.qi_total, 0 (worst) to 1; NaN outside coverage",
}
# What the quality of each era must declare; NIMBUS declares neither and has 0 instead.
_QUALITY_STATES: dict[str, tuple[str, ...]] = {
    "ODYSSEY": _STATES,
    "NIMBUS": (),
    "CIRRUS": ("nodata",),
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
        As in the file; NaN where the product defines none, or where it is not finite.
    source : str
        Who made it, as ODIM's `what/source` says (made-up files hold `SYNTHETIC_MARK`).
    radars : tuple of str
        The radars that contributed.
    not_finite : int
        Values that were infinite or NaN, or beyond float32, and count as missing.
    z_r : tuple of float, or None
        Of reflectivity, a and b of the relation Z = a R^b that the file states, if it states one.
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
    z_r: tuple[float, float] | None = None


def _grid(file: OdimFile) -> Grid:
    shape = file.integer("ysize", "where"), file.integer("xsize", "where")
    pixel_m = file.number("xscale", "where"), file.number("yscale", "where")
    corners = {
        corner: (file.number(f"{corner}_lon", "where"), file.number(f"{corner}_lat", "where"))
        for corner in ("UL", "UR", "LL", "LR")
    }
    projdef = file.text("projdef", "where")
    return match_grid(projdef, shape, pixel_m, corners, where=file.path)


def _odim_version(file: OdimFile) -> str:
    conventions = file.text("Conventions", "/")
    match = re.fullmatch(r"ODIM_H5/V(\d)_(\d)", conventions)
    version = f"{match[1]}.{match[2]}" if match else None
    if version not in _ODIM_VERSIONS:
        raise SourceError(
            "the file follows unknown conventions",
            where=file.path,
            got=conventions[:_LONGEST_EXCERPT],
            expected="ODIM_H5/V2_0 to V2_4",
        )
    return version


def _era(odim_version: str, grid: Grid) -> str:
    if odim_version in _ODYSSEY_VERSIONS:
        return "ODYSSEY"
    return "CIRRUS" if grid.pixel_km == 1.0 else "NIMBUS"


def _data_places(group: str) -> tuple[str, str]:
    """Return where the description of an array stands: at its own level, else one level up."""
    return f"{group}/what", f"{group.rsplit('/', 1)[0]}/what"


def _quantity(file: OdimFile, key: ArchiveKey | None) -> str:
    """Return the quantity, if it is known and the one that the key promises."""
    name = file.text("quantity", *_data_places(_DATA))
    expected = tuple(PRODUCTS) if key is None else (key.quantity,)
    if name not in expected:
        raise SourceError(
            "the file holds another quantity",
            where=file.path,
            got=name[:_LONGEST_EXCERPT],
            expected=" or ".join(expected),
        )
    return name


def _scaling(
    file: OdimFile, group: str, required: tuple[str, ...], accepted: tuple[Scaling, ...]
) -> Scaling:
    """Return how an array is scaled, if that is the product's way or an accepted one.

    A state that is neither required nor there is NaN, and fits whatever is known.
    """
    # Quality below the data has its own description: the data's must not stand in for it.
    places = (f"{group}/what",) if group == _QUALITY_BELOW_DATA else _data_places(group)
    states = (
        file.number(name, *places) if name in required or file.has(name, *places) else math.nan
        for name in _STATES
    )
    found = Scaling(file.number("gain", *places), file.number("offset", *places), *states)
    for known in (PRODUCT_SCALING, *accepted):
        if all(math.isnan(a) or a == b for a, b in zip(found, known, strict=True)):
            return found
    raise SourceError(
        "an array is scaled in an unknown way",
        where=f"{file.path}:/{group}",
        got=found,
        expected=" or ".join(map(str, (PRODUCT_SCALING, *accepted))),
        hint="if the product was changed on purpose, accept its new scaling by name",
    )


def _quality_group(file: OdimFile) -> str | None:
    """Return where the quality stands, if the file has any."""
    places = _data_places(_QUALITY_BESIDE_DATA)
    if file.has("quantity", *places) and file.text("quantity", *places) == "QIND":
        return _QUALITY_BESIDE_DATA
    return _QUALITY_BELOW_DATA if file.has_group(_QUALITY_BELOW_DATA) else None


def _window(file: OdimFile, time: datetime) -> tuple[datetime, datetime]:
    start = file.time("startdate", "starttime", "dataset1/what")
    end = file.time("enddate", "endtime", "dataset1/what")
    if start > end or max(abs(start - time), abs(end - time)) > _FARTHEST_WINDOW:
        raise SourceError(
            "the measuring window does not fit the nominal time",
            where=file.path,
            got=f"{start:%FT%TZ} to {end:%FT%TZ}",
            expected=f"within {_FARTHEST_WINDOW} of {time:%FT%TZ}",
        )
    return start, end


def _radars(file: OdimFile) -> tuple[str, ...]:
    """Return the roster, whatever its spelling: `NOD:x,NOD:y`, `'x','y'` or `x, y`."""
    if not file.has("nodes", "how"):
        return ()
    nodes = (
        node.strip(" '\"").removeprefix("NOD:") for node in file.text("nodes", "how").split(",")
    )
    return tuple(sorted({node for node in nodes if node}))


def _stated_z_r(file: OdimFile) -> tuple[float, float] | None:
    """Return `zr_a` and `zr_b` of the data, else of the dataset, else of the file."""
    places = ("dataset1/data1/how", "dataset1/how", "how")
    if not (file.has("zr_a", *places) or file.has("zr_b", *places)):
        return None
    a, b = file.number("zr_a", *places), file.number("zr_b", *places)
    if not all(math.isfinite(value) and value > 0 for value in (a, b)):
        raise SourceError(
            "the file states an impossible Z-R relation",
            where=file.path,
            got=f"a = {a:g}, b = {b:g}",
            expected="positive numbers",
        )
    return a, b


def _new_array(shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    return np.empty(shape, np.float32)


def read_composite(
    path: Path,
    key: ArchiveKey | None = None,
    *,
    accepted: tuple[Scaling, ...] = (),
    allocate: Callable[[tuple[int, int]], npt.NDArray[np.float32]] = _new_array,
) -> Composite:
    """Read and decode a composite; the only way by which files become numbers.

    Parameters
    ----------
    path : Path
        An ODIM_H5 file.
    key : ArchiveKey, optional
        The archive key it was found under, whose time and product the file must confirm.
    accepted : tuple of Scaling, optional
        Ways to scale an array that are fine besides the products' own `PRODUCT_SCALING`.
    allocate : callable, optional
        Gives the arrays to fill, values before quality, for their shape.

    Returns
    -------
    Composite

    Raises
    ------
    SourceError
        If the file is damaged, on an unknown grid, of an unknown or another quantity, scaled in
        an unknown way, or of another time than its key says.
    """
    with open_odim_file(path) as file:
        odim_version = _odim_version(file)
        kind = file.text("object", "what")
        if kind != "COMP":
            raise SourceError(
                "the file is no composite",
                where=path,
                got=kind[:_LONGEST_EXCERPT],
                expected="COMP",
            )
        time = file.time("date", "time", "what")
        if key is not None and time != key.time:
            raise SourceError(
                "the time in the file is not the one in its name",
                where=path,
                got=f"{time:%FT%T}",
                expected=f"{key.time:%FT%T}",
            )
        quantity = _quantity(file, key)
        grid = _grid(file)
        era = _era(odim_version, grid)

        def decode(
            group: str, required: tuple[str, ...], undetect_value: float
        ) -> tuple[npt.NDArray[np.float32], int]:
            scaling = _scaling(file, group, required, accepted)
            array = allocate(grid.shape)
            dataset = file.dataset(f"{group}/data")
            return array, decode_array(dataset, path, scaling, undetect_value, array)

        values, not_finite = decode(_DATA, _STATES, PRODUCTS[quantity].undetect)
        quality_group = _quality_group(file)
        quality = None
        if quality_group is not None:
            quality, _ = decode(quality_group, _QUALITY_STATES[era], math.nan)
        return Composite(
            quantity=quantity,
            era=era,
            odim_version=odim_version,
            grid=grid,
            time=time,
            window=_window(file, time),
            values=values,
            quality=quality,
            source=file.text("source", "what"),
            radars=_radars(file),
            not_finite=not_finite,
            z_r=_stated_z_r(file) if quantity == "DBZH" else None,
        )


def open_composite(path: str | Path, *, accepted: tuple[Scaling, ...] = ()) -> xr.Dataset:
    """Open an OPERA composite as a dataset in physical units.

    Parameters
    ----------
    path : str or Path
        An ODIM_H5 file of the ODYSSEY, NIMBUS or CIRRUS composites.
    accepted : tuple of Scaling, optional
        As for `read_composite`.

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
    # Here, because the processes that only decode are spared a second of loading it.
    import xarray as xr

    composite = read_composite(Path(path), accepted=accepted)
    product = PRODUCTS[composite.quantity]
    common = {"grid_mapping": "spatial_ref"}
    variables: dict[str, Any] = {
        product.variable: (
            ("y", "x"),
            composite.values,
            {"long_name": product.long_name, "units": product.units, **common},
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


def _naive(time: datetime) -> np.datetime64:
    return np.datetime64(time.replace(tzinfo=None), "ns")
