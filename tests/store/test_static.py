"""Terrain in a store: written once, whole or not at all, and found by coordinates."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from minkgen.errors import InputError, StoreError
from minkgen.grid import GRIDS, TEST_2KM
from minkgen.recipe import Dem
from minkgen.store.files import sha256_of
from minkgen.store.layout import StorePaths, consolidate
from minkgen.store.static import create_static, open_static
from tests.opera.dem_files import write_geotiff, write_netcdf

pytest.importorskip("rasterio", reason="needs the extra geo")


@pytest.fixture
def paths(tmp_path: Path) -> StorePaths:
    return StorePaths(tmp_path / "a store ä")


def model(path: Path, slope: float = 100.0) -> Dem:
    """Return a model of land that rises northward from a coast at 52 N."""
    longitude, latitude = np.arange(-5.0, 30.0, 0.5), np.arange(62.0, 42.0, -0.5)
    heights = np.repeat(slope * (latitude - 52.0)[:, None], len(longitude), axis=1)
    write_netcdf(path, heights.astype(np.float32), longitude, latitude)
    return Dem(path=path)


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_terrain_is_found_by_coordinates(paths: StorePaths, tmp_path: Path) -> None:
    dem = model(tmp_path / "dem.nc")
    assert create_static(paths, TEST_2KM, dem)
    static = open_static(paths.root)
    assert static.sizes == {"y": TEST_2KM.height, "x": TEST_2KM.width}
    np.testing.assert_array_equal(static["y"], TEST_2KM.y)
    np.testing.assert_array_equal(static["x"], TEST_2KM.x)
    assert (static["terrain"].dtype, static["sea"].dtype) == (np.float32, np.bool_)
    row, column = TEST_2KM.pixel_of(10.0, 55.0)
    place = static.sel(y=TEST_2KM.y[row], x=TEST_2KM.x[column])
    assert abs(float(place["terrain"]) - 300.0) < 5.0
    assert not place["sea"]
    row, column = TEST_2KM.pixel_of(10.0, 51.0)
    place = static.sel(y=TEST_2KM.y[row], x=TEST_2KM.x[column])
    assert place["sea"]
    assert place["terrain"] == 0


def test_it_says_what_it_is(paths: StorePaths, tmp_path: Path) -> None:
    dem = model(tmp_path / "dem.nc")
    create_static(paths, TEST_2KM, dem)
    static = xr.open_zarr(paths.static, consolidated=True)
    expected = {
        "grid": "test_2km",
        "layout_version": 1,
        "dem": "dem.nc",
        "dem_sha256": sha256_of(dem.path),
        "variable": "height",
        "sea_level_m": 0.0,
        "nodata_is_sea": False,
        "samples_per_pixel": 1,
    }
    assert {key: static.attrs[key] for key in expected} == expected
    assert static["terrain"].attrs["units"] == "m"
    for name in ("terrain", "sea"):
        assert static[name].attrs["grid_mapping"] == "spatial_ref"
    assert "PROJCRS" in static["spatial_ref"].attrs["crs_wkt"]
    assert static["y"].attrs["standard_name"] == "projection_y_coordinate"
    assert zarr.open_group(paths.static, mode="r")["sea"].dtype == np.bool_
    text = "".join(path.read_text("utf-8") for path in paths.static.rglob("zarr.json"))
    assert str(tmp_path) not in text


def test_the_same_model_is_not_read_again(paths: StorePaths, tmp_path: Path) -> None:
    dem = model(tmp_path / "dem.nc")
    assert create_static(paths, TEST_2KM, dem)
    before = state(paths.root)
    renamed = dem.path.rename(tmp_path / "moved.nc")
    assert not create_static(paths, TEST_2KM, Dem(path=renamed))
    assert not create_static(paths, TEST_2KM, Dem(path=renamed, variable="height"))
    assert state(paths.root) == before


def test_another_terrain_is_refused_and_the_first_stays(paths: StorePaths, tmp_path: Path) -> None:
    dem = model(tmp_path / "dem.nc")
    create_static(paths, TEST_2KM, dem)
    before = state(paths.root)
    others = [
        (TEST_2KM, model(tmp_path / "other.nc", slope=90.0), "dem_sha256"),
        (TEST_2KM, Dem(path=dem.path, sea_level_m=10.0), "sea_level_m"),
        (TEST_2KM, Dem(path=dem.path, nodata_is_sea=True), "nodata_is_sea"),
        (TEST_2KM, Dem(path=dem.path, variable="other"), "variable"),
        (GRIDS["opera_1km"], dem, "grid"),
    ]
    for grid, other, differing in others:
        with pytest.raises(StoreError, match="made by another recipe") as caught:
            create_static(paths, grid, other)
        assert f"dem.{differing}" in str(caught.value)
        assert "next: " in str(caught.value)
    assert state(paths.root) == before


def test_a_geotiff_has_no_variable(paths: StorePaths, tmp_path: Path) -> None:
    heights = np.full((40, 60), 7.0, np.float32)
    path = write_geotiff(tmp_path / "dem.tif", heights, west=-5.0, north=62.0, step=0.5)
    assert create_static(paths, TEST_2KM, Dem(path=path))
    static = open_static(paths.root)
    assert "variable" not in static.attrs
    assert (static["terrain"] == 7.0).all()
    assert not create_static(paths, TEST_2KM, Dem(path=path))


def test_what_fails_leaves_nothing(paths: StorePaths, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dem\.path"):
        create_static(paths, TEST_2KM, Dem(path=tmp_path / "not there"))
    heights = np.full((4, 6), 7.0, np.float32)
    path = write_geotiff(tmp_path / "dem.tif", heights, west=5.0, north=52.0, step=0.5)
    with pytest.raises(InputError, match="without a height"):
        create_static(paths, TEST_2KM, Dem(path=path))
    assert not paths.root.exists()


def test_an_interrupted_writing_is_begun_anew(paths: StorePaths, tmp_path: Path) -> None:
    dem = model(tmp_path / "dem.nc")
    create_static(paths, TEST_2KM, dem)
    whole = {name: content for name, (_, content) in state(paths.static).items()}
    partial = paths.root / ".static.zarr.partial"
    paths.static.rename(partial)
    (partial / "terrain" / "c" / "0" / "0").unlink()
    with pytest.raises(StoreError, match="no terrain"):
        open_static(paths.root)
    assert create_static(paths, TEST_2KM, dem)
    assert {name: content for name, (_, content) in state(paths.static).items()} == whole
    assert not partial.exists()


def test_opening_what_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no terrain") as caught:
        open_static(tmp_path)
    assert "dem.path" in str(caught.value)


def test_an_unknown_layout_is_refused(paths: StorePaths, tmp_path: Path) -> None:
    create_static(paths, TEST_2KM, model(tmp_path / "dem.nc"))
    zarr.open_group(paths.static, mode="r+", use_consolidated=False).attrs["layout_version"] = 99
    consolidate(paths.static)
    with pytest.raises(StoreError, match="unknown layout"):
        open_static(paths.root)


def test_who_only_reads_needs_neither_h5py_nor_rasterio() -> None:
    code = """
import sys
import minkgen.store.static
print(*sorted({"h5py", "rasterio", "pyproj"} & set(sys.modules)))
"""
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["pyproj"]
