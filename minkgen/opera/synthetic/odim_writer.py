"""Writing rain-rate composites as ODIM_H5, byte layout and metadata as the real files have them.

Two layouts: ODYSSEY (ODIM 2.0; the quality index is a second dataset, defined only where there is
echo) and NIMBUS (ODIM 2.4; quality below the data, without a `nodata` of its own). Groups,
attributes, their types (fixed-length, null-terminated text), chunks and compression follow the
real files; only `what/source` and `how/nodes` say that the data are made up.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args
from uuid import uuid4

import h5py
import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError
from minkgen.grid import OPERA_PROJECTION, Grid
from minkgen.opera.odim import SYNTHETIC_MARK

__all__ = ["SYNTHETIC_SOURCE", "Layout", "check_layout", "check_time", "write_composite"]

Layout = Literal["odyssey", "nimbus"]

# Made-up data must be recognisable as such: ODIM allows a comment (CMT) beside the organisation.
SYNTHETIC_SOURCE = f"ORG:247,{SYNTHETIC_MARK}"
# ZZ is no country's ISO code.
_DEFAULT_NODES = ("zzaaa", "zzaab")

_NODATA, _UNDETECT = -9_999_000.0, -8_888_000.0
_VALUE_DECIMALS = 2
# Measured in the real files: NIMBUS states its corners this far from the true ones, in metres.
_NIMBUS_CORNER_OFFSET = (-2.53, -1.03)
_CHUNK_AND_GZIP_LEVEL: dict[Layout, tuple[tuple[int, int], int]] = {
    "odyssey": ((380, 440), 9),
    "nimbus": ((69, 119), 4),
}
_UNSCALED = {"gain": 1.0, "offset": 0.0}
_STATES = {"nodata": _NODATA, "undetect": _UNDETECT}


def write_composite(
    path: str | Path,
    rain_rate: npt.NDArray[np.floating[Any]],
    quality: npt.NDArray[np.floating[Any]],
    *,
    time: datetime,
    grid: Grid,
    layout: Layout,
    measured_zero: npt.NDArray[np.bool_] | None = None,
    nodes: Sequence[str] = _DEFAULT_NODES,
) -> None:
    """Write one rain-rate composite; the file appears whole or not at all.

    The same arguments give the same bytes. Folders are made as needed.

    Parameters
    ----------
    path : str or Path
        The file to write, or to replace.
    rain_rate : ndarray of float, shape (H, W)
        mm/h, north first; NaN is no coverage (`nodata`), 0 is dry (`undetect`). Rounded to 0.01.
    quality : ndarray of float, shape (H, W)
        As the product has it; NaN becomes `nodata` (ODYSSEY) or 0 (NIMBUS, which has none).
    time : datetime
        Nominal time, a whole minute in UTC.
    grid : Grid
    layout : {"odyssey", "nimbus"}
    measured_zero : ndarray of bool, shape (H, W), optional
        Pixels with an echo too weak to count, written as a measured 0.00 instead of `undetect`.
    nodes : sequence of str
        The radars that contributed.

    Raises
    ------
    InputError
        If a shape is not the grid's, a rate is negative or infinite, the time is no whole minute
        in UTC, or the layout is unknown.
    """
    check_time("time", time)
    check_layout(layout)
    zero = np.zeros(grid.shape, np.bool_) if measured_zero is None else measured_zero
    for name, array in (("rain_rate", rain_rate), ("quality", quality), ("measured_zero", zero)):
        if array.shape != grid.shape:
            raise InputError(
                f"{name} does not cover the grid {grid.name}", got=array.shape, expected=grid.shape
            )
    # Written in memory first: a file that grows under its own name could be read half-written.
    with h5py.File(
        "composite.h5", "w", driver="core", backing_store=False, track_order=False
    ) as file:
        raw = _raw_rain_rate(rain_rate, zero)
        if layout == "odyssey":
            _fill_odyssey(file, raw, quality, time, grid)
        else:
            _fill_nimbus(file, raw, quality, time, grid)
        spelling = "NOD:{}" if layout == "odyssey" else "'{}'"
        _attributes(file, "how", {"nodes": ",".join(spelling.format(node) for node in nodes)})
        file.flush()
        image = file.id.get_file_image()
    _write_whole(Path(path), image)


def check_time(name: str, time: datetime) -> None:
    """Refuse a time that no archive key can hold.

    Raises
    ------
    InputError
        If the time is not a whole minute in UTC.
    """
    whole = time.second == 0 and time.microsecond == 0
    if time.utcoffset() != timedelta(0) or not whole:
        raise InputError(f"{name} must be a whole minute in UTC", got=time.isoformat())


def check_layout(layout: str) -> None:
    """Refuse a layout that is not known.

    Raises
    ------
    InputError
        If it is neither `odyssey` nor `nimbus`.
    """
    if layout not in get_args(Layout):
        raise InputError(
            "the layout is unknown", got=layout, expected=" or ".join(get_args(Layout))
        )


def _raw_rain_rate(
    rain_rate: npt.NDArray[np.floating[Any]], measured_zero: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return the values as they stand in the file, with the three states of ODIM."""
    if (rain_rate < 0).any() or np.isinf(rain_rate).any():
        raise InputError(
            "a rain rate is negative or infinite",
            got=f"{np.nanmin(rain_rate):g} to {np.nanmax(rain_rate):g} mm/h",
            expected="finite rates >= 0, or NaN without coverage",
        )
    raw = rain_rate.astype(np.float64).round(_VALUE_DECIMALS)
    raw[(raw == 0) & ~measured_zero] = _UNDETECT
    raw[np.isnan(raw)] = _NODATA
    return raw


def _fill_odyssey(
    file: h5py.File,
    raw: npt.NDArray[np.float64],
    quality: npt.NDArray[np.floating[Any]],
    time: datetime,
    grid: Grid,
) -> None:
    """Fill in everything but the nodes, as ODYSSEY did until 2024."""
    _attributes(file, "/", {"Conventions": "ODIM_H5/V2_0"})
    _attributes(file, "what", _identity(time, "H5rad 2.0"))
    size = {"xsize": np.uint64(grid.width), "ysize": np.uint64(grid.height)}
    _attributes(file, "where", {**_geometry(grid), **size})
    window = _window(time - timedelta(minutes=10), time + timedelta(minutes=5))
    raw_quality = np.where(np.isnan(quality), _NODATA, quality)
    datasets = (("dataset1", "RATE", raw), ("dataset2", "QIND", raw_quality))
    for group, quantity, values in datasets:
        description = {"product": "COMP", "quantity": quantity, **_UNSCALED, **_STATES}
        _attributes(file, f"{group}/what", {**description, **window})
        _image(file, f"{group}/data1", values, "odyssey")


def _fill_nimbus(
    file: h5py.File,
    raw: npt.NDArray[np.float64],
    quality: npt.NDArray[np.floating[Any]],
    time: datetime,
    grid: Grid,
) -> None:
    """Fill in everything but the nodes, as NIMBUS has done since July 2024."""
    _attributes(file, "/", {"Conventions": "ODIM_H5/V2_4"})
    _attributes(file, "what", _identity(time, "H5rad 2.4"))
    east, north = _NIMBUS_CORNER_OFFSET
    stated = dataclasses.replace(grid, west=grid.west + east, north=grid.north + north)
    size = {"xsize": np.int64(grid.width), "ysize": np.int64(grid.height), "zsize": np.int64(1)}
    level = {"zscale": 0.0, "zstart": 0.0}
    _attributes(file, "where", {**_geometry(stated), **size, **level})
    product = {
        "product": "PPI",
        "prodname": "OPERA NIMBUS instantaneous rain rate composite",
    }
    _attributes(file, "dataset1/what", {**product, **_window(time, time)})
    data = "dataset1/data1"
    _attributes(file, f"{data}/what", {"quantity": "RATE", **_UNSCALED, **_STATES})
    _attributes(file, f"{data}/how", {"zr_a": 200.0, "zr_b": 1.6})
    _image(file, data, raw, "nimbus")
    _attributes(file, f"{data}/quality1/what", _UNSCALED)
    _attributes(file, f"{data}/quality1/how", {"task": "pl.imgw.quality.qi_total"})
    _image(file, f"{data}/quality1", np.nan_to_num(quality, nan=0.0), "nimbus")


def _identity(time: datetime, version: str) -> dict[str, str]:
    return {
        "object": "COMP",
        "version": version,
        "date": f"{time:%Y%m%d}",
        "time": f"{time:%H%M%S}",
        "source": SYNTHETIC_SOURCE,
    }


def _window(start: datetime, end: datetime) -> dict[str, str]:
    return {
        "startdate": f"{start:%Y%m%d}",
        "starttime": f"{start:%H%M%S}",
        "enddate": f"{end:%Y%m%d}",
        "endtime": f"{end:%H%M%S}",
    }


def _geometry(grid: Grid) -> dict[str, str | float]:
    geometry: dict[str, str | float] = {
        "projdef": OPERA_PROJECTION,
        "xscale": grid.pixel_m,
        "yscale": grid.pixel_m,
    }
    for corner, (longitude, latitude) in grid.corners_lonlat.items():
        geometry[f"{corner}_lon"], geometry[f"{corner}_lat"] = longitude, latitude
    return geometry


def _attributes(file: h5py.File, group: str, values: Mapping[str, object]) -> None:
    """Set the attributes of a group, which is made if need be."""
    target = file.require_group(group)
    for name, value in values.items():
        if isinstance(value, str):
            _text(target, name, value)
        else:
            target.attrs[name] = value


def _text(target: h5py.Group | h5py.Dataset, name: str, value: str) -> None:
    """Set a fixed-length, null-terminated attribute: h5py's own are null-padded."""
    stored = value.encode("ascii") + b"\0"
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(stored))
    kind.set_strpad(h5py.h5t.STR_NULLTERM)
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    attribute = h5py.h5a.create(target.id, name.encode("ascii"), kind, space)
    attribute.write(np.array(stored, f"S{len(stored)}"), mtype=kind)


def _image(
    file: h5py.File, group: str, values: npt.NDArray[np.floating[Any]], layout: Layout
) -> None:
    """Write the array `data` of a group as an ODIM image."""
    chunk, level = _CHUNK_AND_GZIP_LEVEL[layout]
    data = file.require_group(group).create_dataset(
        "data",
        data=values.astype(np.float64, copy=False),
        chunks=tuple(np.minimum(chunk, values.shape).tolist()),
        compression="gzip",
        compression_opts=level,
        track_times=False,
    )
    _text(data, "CLASS", "IMAGE")
    _text(data, "IMAGE_VERSION", "1.2")


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
