"""The Zarr hierarchy of composites: a time axis fixed in advance, filled with NaN.

One chunk is one frame, one shard some frames of a day (of OPERA's rates 24, six hours), and a shard
is always written as a whole, by the one task that owns its day: two writers in one Zarr shard
silently lose chunks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from minkgen.errors import StoreError
from minkgen.grid import OWN_GRID, Grid, grid_of
from minkgen.products import (
    GROUPS,
    OWN,
    Product,
    own_frames_per_shard,
    own_product,
    product_of_group,
)
from minkgen.recipe import differences
from minkgen.store.files import read_json, write_json
from minkgen.store.layout import (
    LAYOUT_VERSION,
    OPERA_ATTRIBUTION,
    StorePaths,
    consolidate,
    grid_mapping_attributes,
    zstd,
)

__all__ = [
    "QUALITY",
    "Composites",
    "create_composites",
    "held_products",
    "open_composites",
    "refuse_other_recipe",
    "variables_of",
]

QUALITY = "quality"
_QUALITY_ATTRIBUTES = {
    "long_name": "quality as delivered",
    "units": "1",
    "comment": "ODYSSEY: QIND, defined only where there is echo; "
    "NIMBUS: pl.imgw.quality.qi_total, 0 outside coverage; CIRRUS: the same, NaN outside coverage",
}


@dataclass(frozen=True)
class Composites:
    """The composites of one product in a store: slots on a time axis of whole calendar years.

    Attributes
    ----------
    paths : StorePaths
    grid : Grid
    first_year, last_year : int
        The calendar years that the time axis spans.
    product : Product
        What the composites are.
    """

    paths: StorePaths
    grid: Grid
    first_year: int
    last_year: int
    product: Product

    @property
    def start(self) -> datetime:
        """Time of slot 0."""
        return datetime(self.first_year, 1, 1, tzinfo=UTC)

    @property
    def slots(self) -> int:
        """Length of the time axis."""
        return (datetime(self.last_year + 1, 1, 1, tzinfo=UTC) - self.start) // self.product.step

    def slot(self, time: datetime) -> int:
        """Return the index of a time on the axis."""
        return (time - self.start) // self.product.step

    def shards_of(self, day: date) -> list[list[datetime]]:
        """Return the times of a day, shard by shard."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        step, whole = self.product.step, self.product.frames_per_shard
        times = [midnight + index * step for index in range(self.product.slots_per_day)]
        return [times[first : first + whole] for first in range(0, len(times), whole)]

    @cached_property
    def _readable(self) -> dict[str, zarr.Array[Any]]:
        """The arrays that were opened to read: opening takes a third of the time of a frame."""
        return {}

    def _array(self, variable: str) -> zarr.Array[Any]:
        if variable not in self._readable:
            self._readable[variable] = zarr.open_array(self._folder(variable), mode="r")
        return self._readable[variable]

    def _folder(self, variable: str) -> Path:
        return self.paths.composites / self.paths.group / variable

    def shard_file(self, variable: str, time: datetime) -> Path:
        """Return the file of the shard that a slot lies in; nothing but NaN has none."""
        shard = self.slot(time) // self.product.frames_per_shard
        return self._folder(variable) / f"c/{shard}/0/0"

    def read(self, variable: str, first: datetime, count: int = 1) -> npt.NDArray[np.float32]:
        """Read consecutive slots, whatever their state.

        Parameters
        ----------
        variable : str
            The product's, or `quality`.
        first : datetime
        count : int, optional

        Returns
        -------
        ndarray of float32, shape (count, H, W)
            NaN where nothing was ever written.
        """
        slot = self.slot(first)
        values: npt.NDArray[np.float32] = np.asarray(self._array(variable)[slot : slot + count])
        return values

    def write_shard(self, variable: str, times: list[datetime], values: npt.NDArray[Any]) -> None:
        """Write a whole shard, replacing its file in one step, and flush it to disk.

        Parameters
        ----------
        variable : str
            The product's, or `quality`.
        times : list of datetime
            The times of one shard, as `shards_of` gives them.
        values : ndarray of float32, shape (frames of a shard, H, W)
        """
        slot = self.slot(times[0])
        whole = self.product.frames_per_shard
        if slot % whole or len(times) != whole:
            raise StoreError(
                "only whole shards are written",
                where=self.paths.composites,
                got=f"{len(times)} slots from {slot}",
                expected=f"{whole} slots from a multiple of it",
            )
        zarr.open_array(self._folder(variable), mode="r+")[slot : slot + whole] = values
        path = self.shard_file(variable, times[0])
        if path.exists():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def _quantity(paths: StorePaths) -> str:
    return next(quantity for quantity, group in GROUPS.items() if group == paths.group)


def _identity(paths: StorePaths, grid: Grid, minutes: int | None) -> dict[str, Any]:
    identity = {
        "layout_version": LAYOUT_VERSION,
        "grid": grid.name,
        "product": _quantity(paths),
    }
    if minutes is None:
        return identity
    return {
        **identity,
        "own_grid": grid.as_dict(),
        "minutes": minutes,
        "frames_per_shard": own_frames_per_shard(minutes, grid.shape),
    }


def _product(identity: dict[str, Any], grid: Grid, paths: StorePaths) -> Product:
    if grid.name != OWN_GRID:
        return product_of_group(paths.group)
    minutes, frames = int(identity["minutes"]), int(identity["frames_per_shard"])
    return own_product(minutes, grid.pixel_km, frames)


def _read_identity(paths: StorePaths) -> dict[str, Any] | None:
    return read_json(paths.identity) if paths.identity.exists() else None


def create_composites(
    paths: StorePaths, grid: Grid, years: tuple[int, int], minutes: int | None = None
) -> Composites:
    """Create the composites of a store, or extend an existing time axis to later years.

    Parameters
    ----------
    paths : StorePaths
    grid : Grid
    years : tuple of int
        First and last calendar year that must be on the axis.
    minutes : int, optional
        From one field to the next, on a grid of one's own; OPERA's products have their step.

    Returns
    -------
    Composites

    Raises
    ------
    StoreError
        If the store exists and is on another grid or of another layout, or starts later; or if
        OPERA's composites and one's own would share it.
    """
    wanted = _identity(paths, grid, minutes)
    found = _read_identity(paths)
    if found is None:
        _refuse_mixture(paths)
        paths.root.mkdir(parents=True, exist_ok=True)
        composites = Composites(paths, grid, *years, _product(wanted, grid, paths))
        _create_hierarchy(composites)
        write_json(paths.identity, wanted | {"first_year": years[0], "last_year": years[1]})
        return composites
    refuse_other_recipe(paths, {key: found.get(key) for key in wanted}, wanted)
    if years[0] < found["first_year"]:
        raise StoreError(
            "the time axis of the store begins later",
            where=paths.root,
            got=f"a period from {years[0]}",
            expected=f"{found['first_year']} or later",
            hint="years are appended, never put in front: use a new store for the longer period",
        )
    last_year = max(years[1], int(found["last_year"]))
    product = _product(found, grid, paths)
    composites = Composites(paths, grid, found["first_year"], last_year, product)
    if composites.last_year > found["last_year"]:
        _extend_hierarchy(composites)
        write_json(paths.identity, found | {"last_year": composites.last_year})
    return composites


def _refuse_mixture(paths: StorePaths) -> None:
    """Refuse one's own fields beside OPERA's: terrain, attribution and grid are of the store."""
    held = held_products(paths)
    wanted = _quantity(paths)
    if any((quantity == OWN) != (wanted == OWN) for quantity in held):
        raise StoreError(
            "a store holds OPERA's composites, or fields of one's own, not both",
            where=paths.root,
            got=f"{wanted} for a store of {', '.join(held)}",
            hint="give this recipe a store of its own (store:, or --store)",
        )


def open_composites(paths: StorePaths) -> Composites:
    """Open the composites of an existing store.

    Raises
    ------
    StoreError
        If there is no store, or it is of an unknown layout.
    """
    found = _read_identity(paths)
    if found is None:
        wanted, held = _quantity(paths), ", ".join(held_products(paths))
        raise StoreError(
            f"the store has no {wanted} composites" if held else "there is no store here",
            where=paths.root,
            got=held or None,
            hint="run `minkgen ingest` with the recipe first",
        )
    grid = grid_of(found.get("grid", ""), found.get("own_grid"))
    if grid is None or found.get("layout_version") != LAYOUT_VERSION:
        raise StoreError(
            "the store is of an unknown layout",
            where=paths.identity,
            got=found,
            expected=f"layout_version {LAYOUT_VERSION}",
            hint="read it with the version of minkgen that wrote it, or ingest into a new store",
        )
    years = int(found["first_year"]), int(found["last_year"])
    return Composites(paths, grid, *years, _product(found, grid, paths))


def refuse_other_recipe(
    paths: StorePaths, found: dict[str, Any], wanted: dict[str, Any], *, hint: str = ""
) -> None:
    """Refuse to go on with a store that holds something else than the recipe asks for.

    Raises
    ------
    StoreError
        Naming all that differs.
    """
    differing = differences(found, wanted)
    if differing is not None:
        raise StoreError(
            "the store was made by another recipe",
            where=paths.root,
            got=differing[0],
            expected=differing[1],
            hint=hint + "give this recipe a store of its own (store:, or --store)",
        )


def held_products(paths: StorePaths) -> tuple[str, ...]:
    """Return the quantities of which a store has composites."""
    return tuple(
        quantity
        for quantity, group in GROUPS.items()
        if StorePaths(paths.root, group).identity.exists()
    )


def _create_hierarchy(composites: Composites) -> None:
    grid, product = composites.grid, composites.product
    root = zarr.open_group(composites.paths.composites, mode="a", zarr_format=3)
    is_own = product.quantity == OWN
    origin = "Data of one's own" if is_own else OPERA_ATTRIBUTION
    root.attrs.update(
        {
            "title": "Rain rates of one's own" if is_own else "OPERA composites",
            "layout_version": LAYOUT_VERSION,
            "attribution": f"{origin}; the frame table names the source of each frame",
            "Conventions": "CF-1.11",
        }
    )
    # What a killed run left of the group has no identity, and holds nothing.
    group = root.create_group(product.group, overwrite=True)
    for name, attributes in variables_of(product).items():
        group.create_array(
            name,
            shape=(composites.slots, *grid.shape),
            dtype="float32",
            chunks=(1, *grid.shape),
            shards=(product.frames_per_shard, *grid.shape),
            compressors=zstd(),
            fill_value=float("nan"),
            dimension_names=("time", "y", "x"),
            attributes={
                **attributes,
                "grid_mapping": "spatial_ref",
                "coordinates": "spatial_ref",
            },
        )
    for axis, centres in (("y", grid.y), ("x", grid.x)):
        coordinate = group.create_array(
            axis,
            shape=centres.shape,
            dtype="float64",
            chunks=centres.shape,
            fill_value=float("nan"),
            dimension_names=(axis,),
            attributes={"standard_name": f"projection_{axis}_coordinate", "units": "m"},
        )
        coordinate[:] = centres
    mapping = group.create_array("spatial_ref", shape=(), dtype="int32", fill_value=0)
    mapping.attrs.update(grid_mapping_attributes(grid.crs))
    group.create_array(
        "time",
        shape=(composites.slots,),
        dtype="int64",
        chunks=(366 * product.slots_per_day,),
        fill_value=-1,
        dimension_names=("time",),
        attributes={
            "standard_name": "time",
            "units": f"minutes since {composites.start:%Y-%m-%d %H:%M:%S}",
            "calendar": "proleptic_gregorian",
        },
    )
    _fill_time(composites, group)
    consolidate(composites.paths.composites)


def variables_of(product: Product) -> dict[str, dict[str, str]]:
    """Return the arrays of a product, and their attributes."""
    values = {
        "long_name": product.long_name,
        "standard_name": product.standard_name,
        "units": product.units,
        "comment": "NaN: no coverage, or no composite (see the ledger); "
        f"{product.undetect:g}: measured, no echo",
    }
    if product.quantity == OWN:
        return {product.variable: values}
    return {product.variable: values, QUALITY: _QUALITY_ATTRIBUTES}


def _extend_hierarchy(composites: Composites) -> None:
    folder = composites.paths.composites / composites.paths.group
    group = zarr.open_group(folder, mode="r+", use_consolidated=False)
    for name in variables_of(composites.product):
        group[name].resize((composites.slots, *composites.grid.shape))  # type: ignore[union-attr]
    group["time"].resize((composites.slots,))  # type: ignore[union-attr]
    _fill_time(composites, group)
    consolidate(composites.paths.composites)


def _fill_time(composites: Composites, group: zarr.Group) -> None:
    minutes = composites.product.minutes
    group["time"][:] = minutes * np.arange(composites.slots)  # type: ignore[index]
