"""Scenes: the low resolution of the definition, and the terrain of the place."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from minkgen.errors import InputError, StoreError
from minkgen.grid import TEST_2KM
from minkgen.learn.superres.scenes import LowResolution, Terrain
from minkgen.recipe import Dem
from minkgen.store.layout import StorePaths
from minkgen.store.static import create_static, open_static
from minkgen.tiles.coarsening import coarsen, refine
from tests.opera.dem_files import write_elevation

SIZE = 64


def rain(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    random = np.random.default_rng(0)
    return (random.lognormal(0.0, 2.0, shape) * (random.random(shape) < 0.3)).astype(np.float32)


@pytest.mark.parametrize("upsampling", ["bicubic", "nearest"])
@pytest.mark.parametrize(("size", "pixel_km"), [(128, 2.0), (256, 1.0), (32, 2.0)])
def test_low_resolution_is_that_of_the_definition(
    size: int, pixel_km: float, upsampling: Any
) -> None:
    tiles = rain(3, size, size)
    low = LowResolution(size, pixel_km, upsampling)(torch.from_numpy(tiles)).numpy()
    expected = refine(coarsen(tiles, pixel_km), (size, size), pixel_km, upsampling)
    assert low.dtype == np.float32
    assert low.min() >= 0.0
    np.testing.assert_allclose(low, expected, rtol=2e-6, atol=2e-6 * expected.max())


def test_low_resolution_stays_in_float32_under_autocast() -> None:
    low_resolution, tiles = LowResolution(64, 2.0, "bicubic"), torch.from_numpy(rain(2, 64, 64))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = low_resolution(tiles)
    assert torch.equal(rounded, low_resolution(tiles))


def test_tiles_of_less_than_two_cells_are_refused() -> None:
    with pytest.raises(InputError, match="too small to be coarsened"):
        LowResolution(24, 2.0, "bicubic")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with nothing but a terrain; treat as read-only."""
    pytest.importorskip("rasterio", reason="needs the extra geo")
    folder = tmp_path_factory.mktemp("mountains")
    create_static(StorePaths(folder), TEST_2KM, Dem(path=write_elevation(folder / "dem.nc")))
    return folder


def corners(*places: tuple[int, int]) -> tuple[Any, Any]:
    """Return x0 and y0 of tiles by row and column of their north-west pixel."""
    rows, columns = np.array(places).T
    return TEST_2KM.x[columns], TEST_2KM.y[rows]


def test_terrain_of_known_places(store: Path) -> None:
    height = open_static(store)["terrain"].values.astype(np.float64)
    row, column = TEST_2KM.pixel_of(10.0, 51.0)  # 150 m a degree from 56 N: 750 m
    sea_row, sea_column = TEST_2KM.pixel_of(6.0, 54.5)
    places = (row - 20, column - 30), (sea_row - 5, sea_column - 7)
    land, sea = Terrain(store, SIZE, 2.0).at(*corners(*places)).numpy()
    metres = land[20, 30] * height.std() + height.mean()
    assert metres == pytest.approx(750.0, abs=5.0)
    assert sea[5, 7] * height.std() + height.mean() == pytest.approx(0.0, abs=1e-2)
    # North first: the land rises southward, by 150 m on 111 km.
    southward = np.diff(land.astype(np.float64), axis=0) * height.std()
    assert (southward > 1.0).all()
    assert (southward < 4.0).all()


def test_terrain_is_that_of_a_look_up_by_coordinates(store: Path) -> None:
    height = open_static(store)["terrain"].astype(np.float64)
    standardised = (height - height.mean()) / height.std()
    places = [(0, 0), (448, 576), (5, 300), (300, 5), (131, 257)]
    x0, y0 = corners(*places)
    found = Terrain(store, SIZE, 2.0).at(x0, y0)
    assert found.dtype == torch.float32
    metres = 2000.0 * np.arange(SIZE)
    for tile, x, y in zip(found.numpy(), x0, y0, strict=True):
        expected = standardised.sel(x=x + metres, y=y - metres)
        np.testing.assert_allclose(tile, expected.transpose("y", "x").values, atol=1e-6)
    assert found[3].std() > 0.1  # a coast, not a plain


def test_terrain_is_never_looked_up_by_index(store: Path, tmp_path: Path) -> None:
    """A file whose rows run northward, or whose axes are swapped, gives the same tiles."""
    static = xr.open_zarr(StorePaths(store).static).load()
    for vector in static.variables.values():
        vector.encoding.clear()
    places = corners((5, 300), (300, 5))
    expected = Terrain(store, SIZE, 2.0).at(*places)
    for name, turned in {
        "south first": static.isel(y=slice(None, None, -1)),
        "swapped": static.transpose("x", "y"),
    }.items():
        turned.to_zarr(StorePaths(tmp_path / name).static, zarr_format=2, consolidated=True)
        assert torch.equal(Terrain(tmp_path / name, SIZE, 2.0).at(*places), expected), name


@pytest.mark.parametrize(
    ("x_off", "y_off", "named"),
    [
        (1000.0, 0.0, "x = "),
        (0.0, -600.0, "y = "),
        (2000.0 * 600, 0.0, "x = "),
        (0, 4000.0, "y = "),
    ],
)
def test_a_tile_beside_the_grid_is_refused(
    store: Path, x_off: float, y_off: float, named: str
) -> None:
    x0, y0 = corners((0, 0), (0, 0))
    with pytest.raises(StoreError, match=rf"does not lie on the grid(.|\n)*got: {named}"):
        Terrain(store, SIZE, 2.0).at(x0 + np.array([0.0, x_off]), y0 + np.array([0.0, y_off]))


def test_a_flat_terrain_is_zero(store: Path, tmp_path: Path) -> None:
    static = xr.open_zarr(StorePaths(store).static).load()
    flat = static.assign(terrain=xr.full_like(static["terrain"], 7.0))
    for vector in flat.variables.values():
        vector.encoding.clear()
    flat.to_zarr(StorePaths(tmp_path).static, zarr_format=2, consolidated=True)
    assert not Terrain(tmp_path, SIZE, 2.0).at(*corners((5, 300))).any()


def test_a_store_without_terrain_is_warned_of_once(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        terrains = [Terrain(tmp_path, SIZE, 2.0) for _ in range(2)]
        terrains.append(Terrain(tmp_path, SIZE, 2.0))
    assert [str(one.message).splitlines()[0] for one in caught] == [
        f"the store has no terrain, which is 0 everywhere for its models: {tmp_path}"
    ]
    assert not any(terrain.is_known for terrain in terrains)
    plane = terrains[0].at(*corners((0, 0), (5, 5)))
    assert plane.shape == (2, SIZE, SIZE)
    assert not plane.any()
