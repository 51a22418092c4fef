"""What never changes in a store: terrain and sea on the exact grid, written once.

`static.zarr` appears whole or not at all. It keeps the digest of the elevation model that it was
made from, and no other model may take its place: what was trained beside one terrain is not to meet
another.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from minkgen.errors import InputError, StoreError
from minkgen.grid import Grid, grid_coordinates
from minkgen.recipe import Dem
from minkgen.store.composites import refuse_other_recipe
from minkgen.store.files import fsync_tree, sha256_of
from minkgen.store.layout import LAYOUT_VERSION, StorePaths, consolidate, zstd

if TYPE_CHECKING:
    from minkgen.opera.terrain import Terrain

__all__ = ["create_static", "open_static"]

# A tile touches at most four chunks of 0.3 MB.
_CHUNK = 256


def create_static(paths: StorePaths, grid: Grid, dem: Dem) -> bool:
    """Bring terrain and sea into a store, unless they are there.

    Parameters
    ----------
    paths : StorePaths
    grid : Grid
    dem : Dem

    Returns
    -------
    bool
        Whether they were written now.

    Raises
    ------
    StoreError
        If the store has a terrain of another model, of another grid, or made in another way.
    InputError
        If the elevation model cannot be used, or does not cover the grid.
    MinkgenError
        If the extra `geo` is needed and not installed.
    """
    wanted: dict[str, Any] = {
        "grid": grid.name,
        "dem_sha256": _digest(dem.path),
        "sea_level_m": dem.sea_level_m,
        "nodata_is_sea": dem.nodata_is_sea,
    }
    if dem.variable is not None:
        wanted["variable"] = dem.variable
    if paths.static.exists():
        found = dict(open_static(paths.root).attrs)
        refuse_other_recipe(
            paths,
            {"dem": {key: found.get(key) for key in wanted}},
            {"dem": wanted},
            hint="a terrain is never replaced: ",
        )
        return False
    # Here, because who only reads a terrain needs neither h5py nor rasterio.
    from minkgen.opera.terrain import read_terrain

    terrain = read_terrain(
        dem.path,
        grid,
        variable=dem.variable,
        sea_level_m=dem.sea_level_m,
        nodata_is_sea=dem.nodata_is_sea,
    )
    made_from = {**wanted, "dem": dem.path.name}
    if terrain.variable is not None:
        made_from["variable"] = terrain.variable
    _write(paths, grid, terrain, made_from)
    return True


def open_static(store: str | Path) -> xr.Dataset:
    """Open terrain and sea of a store.

    Parameters
    ----------
    store : str or Path
        The store's folder.

    Returns
    -------
    xarray.Dataset
        `terrain` (y, x) in metres and `sea` (y, x), bool, north first, with the grid's true pixel
        centres and CF `spatial_ref`; look places up by these coordinates. Nothing is read before
        it is used.

    Raises
    ------
    StoreError
        If there is none, or it is of an unknown layout.
    """
    path = StorePaths(Path(store)).static
    if not path.exists():
        raise StoreError(
            "the store has no terrain",
            where=path,
            hint="name an elevation model in the recipe (dem.path) and run `minkgen ingest`",
        )
    dataset: xr.Dataset = xr.open_zarr(path, consolidated=True, chunks=None)
    version = dataset.attrs.get("layout_version")
    if version != LAYOUT_VERSION:
        raise StoreError(
            "the terrain is of an unknown layout",
            where=path,
            got=version,
            expected=f"layout_version {LAYOUT_VERSION}",
        )
    return dataset


def _digest(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(
            "the DEM cannot be read", where=path, got=error, hint="mend dem.path in the recipe"
        ) from error


def _write(paths: StorePaths, grid: Grid, terrain: Terrain, made_from: dict[str, Any]) -> None:
    sea_level = f"{made_from['sea_level_m']:g} m"
    mapping = {"grid_mapping": "spatial_ref"}
    dataset = xr.Dataset(
        {
            "terrain": (
                ("y", "x"),
                terrain.height,
                {
                    "long_name": "mean height of the surface",
                    "standard_name": "surface_altitude",
                    "units": "m",
                    "comment": f"sea counts as {sea_level}: depths are not in it",
                    **mapping,
                },
            ),
            "sea": (
                ("y", "x"),
                terrain.sea,
                {
                    "long_name": "at least half of the pixel is sea",
                    "units": "1",
                    "comment": f"sea is what the elevation model has at or below {sea_level}",
                    **mapping,
                },
            ),
        },
        coords=grid_coordinates(grid),
        attrs={
            "title": "Terrain and sea on the grid of the composites",
            "layout_version": LAYOUT_VERSION,
            **made_from,
            "samples_per_pixel": terrain.samples**2,
            "Conventions": "CF-1.11",
        },
    )
    partial = paths.static.with_name(f".{paths.static.name}.partial")
    if partial.exists():  # left by a run that was killed
        shutil.rmtree(partial)
    encoding = {
        name: {"chunks": (_CHUNK, _CHUNK), "compressors": (zstd(),)} for name in dataset.data_vars
    }
    dataset.to_zarr(partial, mode="w-", zarr_format=3, consolidated=False, encoding=encoding)
    consolidate(partial)
    fsync_tree(partial)
    partial.rename(paths.static)
