"""Checks of the terrain: on the exact grid, finite on land, north where north is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from minkgen.grid import Grid
from minkgen.store.static import open_static
from minkgen.store.verify.findings import Faults, Finding, not_applicable
from minkgen.store.verify.hierarchies import require_attributes
from minkgen.store.verify.view import StoreView

__all__ = ["heights", "on_grid", "orientation"]

_WRITE_AGAIN = "remove static.zarr and run `minkgen ingest` with the recipe's dem"
# Half a side of the window about a known place, so that a coarse elevation model shows it, too.
_WINDOW_KM = 10.0


@dataclass(frozen=True)
class Place:
    """A place that a terrain must show where it is: sea, or land of a least height."""

    name: str
    longitude: float
    latitude: float
    above_m: float | None


_PLACES = (
    Place("the North Sea", 4.0, 56.0, None),
    Place("the Bay of Biscay", -5.0, 45.5, None),
    Place("the Norwegian Sea", 3.0, 65.5, None),
    Place("the Harz", 10.62, 51.8, 400.0),
    Place("the Bernina Alps", 9.9, 46.4, 1500.0),
    Place("Jotunheimen", 8.3, 61.6, 900.0),
)


def on_grid(view: StoreView) -> Finding:
    """Compare coordinates and attributes with the grid."""
    static, faults = open_static(view.paths.root), Faults()
    name = static.attrs.get("grid")
    if view.has_composites:
        grids = [group.composites.grid.name for group in view.groups()]
        faults.require(name in grids, "static.zarr grid", name, " or ".join(grids))
    grid = view.grid_named(str(name))
    faults.arrays("static.zarr y", static["y"].values, grid.y)
    faults.arrays("static.zarr x", static["x"].values, grid.x)
    for variable, units in (("terrain", "m"), ("sea", "1")):
        wanted = {"units": units, "grid_mapping": "spatial_ref"}
        # xarray takes the name of the grid mapping out of the attributes when it decodes.
        found = {**static[variable].attrs, **static[variable].encoding}
        require_attributes(faults, f"static.zarr {variable}", found, wanted)
        faults.equal(
            f"static.zarr {variable} dimensions", got=static[variable].dims, expected=("y", "x")
        )
    faults.require(bool(static.attrs.get("dem_sha256")), "static.zarr dem_sha256", None, "a digest")
    return faults.finding(1, "terrain and its coordinates", _WRITE_AGAIN)


def heights(view: StoreView) -> Finding:
    """Look at the heights of land: sea counts as its level, so that any land lies above it."""
    static, faults = open_static(view.paths.root), Faults()
    terrain, sea = static["terrain"].values, static["sea"].values
    faults.equal("static.zarr sea", got=sea.dtype, expected=np.dtype(np.bool_))
    faults.equal("static.zarr terrain", got=terrain.dtype, expected=np.dtype(np.float32))
    land = ~sea.astype(np.bool_)
    level = float(static.attrs["sea_level_m"])
    for row, column in np.argwhere(land & ~(terrain > level) | np.isinf(terrain)).tolist():
        place = f"static.zarr terrain row {row}, column {column}"
        faults.add(place, f"{terrain[row, column]} m", f"sea, or more than {level:g} m")
    return faults.finding(int(land.sum()), "pixels of land", _WRITE_AGAIN)


def orientation(view: StoreView) -> Finding:
    """Look known places up by their coordinates: mountains are high, and the sea is sea."""
    static, faults, count = open_static(view.paths.root), Faults(), 0
    grid = view.grid_named(str(static.attrs["grid"]))
    for place in _PLACES:
        window = _window(static, grid, place)
        if window is None:
            continue
        count += 1
        sea, height = float(window["sea"].mean()), float(window["terrain"].mean())
        got = f"{100 * sea:.0f} % sea, {height:.0f} m"
        if place.above_m is None:
            faults.require(sea == 1.0, place.name, got, "sea")
        else:
            expected = f"land above {place.above_m:g} m"
            faults.require(sea < 0.5 and height > place.above_m, place.name, got, expected)
    if not count:
        return not_applicable("the grid holds none of the known places")
    return faults.finding(
        count,
        "known places",
        "look at the elevation model: is it mirrored, or in other units than metres?",
    )


def _window(static: xr.Dataset, grid: Grid, place: Place) -> xr.Dataset | None:
    """Return the surroundings of a place by coordinates, None where the grid does not hold it."""
    row, column = grid.pixel_of(place.longitude, place.latitude)
    if not (0 <= row < grid.height and 0 <= column < grid.width):
        return None
    x, y, half = grid.x[column], grid.y[row], _WINDOW_KM * 1000.0
    near: dict[str, Any] = {
        "y": np.flatnonzero(abs(static["y"].values - y) <= half),
        "x": np.flatnonzero(abs(static["x"].values - x) <= half),
    }
    return static.isel(near)
