"""Elevation models as files: pixels by their coordinates, and files that cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minkgen.errors import InputError, MinkgenError
from minkgen.opera.dem_file import open_dem
from tests.opera.dem_files import write_geotiff, write_netcdf

pytest.importorskip("rasterio", reason="needs the extra geo")

# A globe of 4 degrees a pixel, whose values tell their places.
LATITUDE = np.arange(88.0, -90.0, -4.0)
LONGITUDE = np.arange(-178.0, 180.0, 4.0)


def told(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    east = (np.asarray(longitude) + 180.0) % 360.0 - 180.0
    return (10.0 * np.asarray(latitude)[:, None] + east[None, :]).astype(np.float32)


def globe_from(first: float, path: Path, *, south_first: bool, extra: int = 0) -> Path:
    longitude = np.arange(first, first + 360.0 + 4.0 * extra, 4.0)
    latitude = LATITUDE[::-1] if south_first else LATITUDE
    return write_netcdf(path, told(longitude, latitude), longitude, latitude)


@pytest.mark.parametrize("south_first", [False, True])
@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("first", [-178.0, 2.0, 18.0, 22.0, 182.0, -358.0])
def test_places_are_found_wherever_the_longitudes_begin(
    tmp_path: Path, first: float, extra: int, south_first: bool
) -> None:
    path = globe_from(first, tmp_path / "globe.nc", south_first=south_first, extra=extra)
    with open_dem(path) as dem:
        assert dem.variable == "height"
        found = dem.read(-41.0, 30.0, 59.0, 75.0)
        assert found is not None
        heights, (west, first_edge) = found
        longitude = west + dem.step_x * (np.arange(heights.shape[1]) + 0.5)
        latitude = first_edge + dem.step_y * (np.arange(heights.shape[0]) + 0.5)
    np.testing.assert_array_equal(heights, told(longitude, latitude))
    assert longitude[0] < -41 < 59 < longitude[-1]
    assert latitude.min() < 30 < 75 < latitude.max()
    assert heights.shape[1] < 33


@pytest.mark.parametrize("turn", [-360.0, 0.0, 360.0])
def test_a_region_is_found_whatever_the_turn_of_its_longitudes(tmp_path: Path, turn: float) -> None:
    longitude = np.arange(-10.0, 20.05, 0.7)  # no whole number of columns makes a turn
    latitude = np.arange(70.0, 30.0, -0.7)
    path = write_geotiff(
        tmp_path / "region.tif",
        told(longitude, latitude),
        west=-10.35 + turn,
        north=70.35,
        step=0.7,
    )
    with open_dem(path) as dem:
        found = dem.read(0.0, 50.0, 5.0, 55.0)
        assert found is not None
        heights, (west, first_edge) = found
        places = (
            west + dem.step_x * (np.arange(heights.shape[1]) + 0.5),
            first_edge + dem.step_y * (np.arange(heights.shape[0]) + 0.5),
        )
        np.testing.assert_allclose(heights, told(*places), rtol=1e-6)
        assert dem.read(100.0, 50.0, 105.0, 55.0) is None
        assert dem.read(0.0, -20.0, 5.0, -10.0) is None


def test_scale_offset_and_missing_values_are_applied(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    raw = np.array([[0, 10], [-9999, 20]], np.int16)
    path = write_geotiff(tmp_path / "a.tif", raw, west=8.0, north=50.0, step=1.0, nodata=-9999)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.5,), (100.0,)
    with open_dem(path) as dem:
        found = dem.read(8.0, 48.0, 10.0, 50.0)
    assert found is not None
    np.testing.assert_array_equal(found[0], np.array([[100, 105], [np.nan, 110]], np.float32))


def test_a_netcdf_4_file_is_read_too(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "four.nc", "w") as file:
        axes = (("lat", LATITUDE[::-1], "degrees_north"), ("lon", LONGITUDE, "degrees_east"))
        scales = []
        for name, values, units in axes:
            scale = file.create_dataset(name, data=values)
            scale.make_scale(name)
            scale.attrs["units"] = units
            scales.append(scale)
        heights = file.create_dataset("z", data=told(LONGITUDE, LATITUDE[::-1]))
        heights.attrs["units"] = "m"
        for dimension, scale in zip(heights.dims, scales, strict=True):
            dimension.attach_scale(scale)
    with open_dem(tmp_path / "four.nc") as dem:
        found = dem.read(0.0, 40.0, 20.0, 60.0)
    assert found is not None
    heights, (west, first_edge) = found
    longitude = west + 4.0 * (np.arange(heights.shape[1]) + 0.5)
    latitude = first_edge - 4.0 * (np.arange(heights.shape[0]) + 0.5)
    np.testing.assert_array_equal(heights, told(longitude, latitude))


def test_one_of_several_variables_is_named(tmp_path: Path) -> None:
    names = ("height", "other")
    path = write_netcdf(
        tmp_path / "two ä.nc", told(LONGITUDE, LATITUDE), LONGITUDE, LATITUDE, names=names
    )
    with pytest.raises(InputError, match="several variables") as caught, open_dem(path):
        pass
    assert "height, other" in str(caught.value)
    with open_dem(path, "other") as dem:
        assert dem.variable == "other"
    with pytest.raises(InputError, match="cannot be opened"), open_dem(path, "third"):
        pass


HEIGHTS = np.zeros((4, 5), np.float32)
PLACE = {"west": 8.0, "north": 50.0, "step": 1.0}
AXES = (np.arange(5.0), np.arange(4.0))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_text("no DEM"), "unknown format"),
        (lambda path: path.write_bytes(b"II*\0" + bytes(50)), "cannot be opened"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50)), "cannot be opened"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: None, "cannot be read"),
        (lambda path: write_geotiff(path, HEIGHTS, **PLACE, crs=None), "where it lies"),
        (lambda path: write_geotiff(path, HEIGHTS, **PLACE, unit="ft"), "not in metres"),
        (lambda path: write_geotiff(path, np.zeros((2, 4, 5), "f4"), **PLACE), "not one layer"),
        (lambda path: write_netcdf(path, HEIGHTS, *AXES, unit="feet"), "not in metres"),
        (lambda path: write_netcdf(path, HEIGHTS, *AXES, axis_units=("m", "m")), "where it lies"),
        (
            lambda path: write_netcdf(path, HEIGHTS, AXES[0], AXES[1] ** 2),
            "not on a regular grid",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(
    tmp_path: Path, write: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "dem"
    write(path)
    with pytest.raises(InputError, match=message) as caught, open_dem(path):
        pass
    assert str(path) in str(caught.value)


def test_a_turned_grid_is_refused(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    path = write_geotiff(tmp_path / "a.tif", HEIGHTS, **PLACE)
    with rasterio.open(path, "r+") as file:
        file.transform = rasterio.Affine(1.0, 0.2, 8.0, 0.2, -1.0, 50.0)
    with pytest.raises(InputError, match="not on a regular grid"), open_dem(path):
        pass


def test_a_geotiff_has_no_variables(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "a.tif", HEIGHTS, **PLACE)
    with pytest.raises(InputError, match="no variables"), open_dem(path, "height"):
        pass


@pytest.mark.parametrize("value", [-32768.0, 29_029.0, np.inf])
def test_what_cannot_be_a_height_is_refused(tmp_path: Path, value: float) -> None:
    heights = HEIGHTS.copy()
    heights[1, 1] = value
    path = write_geotiff(tmp_path / "a.tif", heights, **PLACE)
    with open_dem(path) as dem, pytest.raises(InputError, match="cannot be heights") as caught:
        dem.read(8.0, 46.0, 13.0, 50.0)
    assert f"{value:g}" in str(caught.value)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    heights = np.random.default_rng(0).normal(0, 100, (400, 400)).astype(np.float32)
    path = write_geotiff(tmp_path / "a.tif", heights, west=0.0, north=60.0, step=0.05)
    path.write_bytes(path.read_bytes()[:200_000])
    with (
        pytest.raises(InputError, match=r"cannot be (read|opened)"),
        open_dem(path) as dem,
    ):
        dem.read(0.0, 40.0, 20.0, 60.0)


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MinkgenError, match="extra 'geo'") as caught, open_dem(tmp_path / "a.tif"):
        pass
    assert 'pip install "minkgen[geo]"' in str(caught.value)
