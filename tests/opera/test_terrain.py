"""Terrain on the grid: right places, right means, one kind of sea, and no gap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pyproj import Transformer
from scipy.interpolate import RegularGridInterpolator

from minkgen.errors import InputError
from minkgen.grid import GRIDS, OPERA_2KM, OPERA_PROJECTION, Grid
from minkgen.opera.terrain import Terrain, read_terrain
from tests.opera.dem_files import SMALL, degrees_of, write_geotiff, write_netcdf

pytest.importorskip("rasterio", reason="needs the extra geo")

Float64 = npt.NDArray[np.float64]


def hills(longitude: Float64, latitude: Float64) -> Float64:
    """Return heights that are like themselves in no mirror."""
    east, north = np.deg2rad(longitude), np.deg2rad(latitude)
    return 900.0 + 400.0 * np.sin(90 * east) * np.cos(70 * north) + 300.0 * np.sin(40 * north)


def geotiff_of_hills(path: Path, step: float = 0.02, *, south_first: bool = False) -> Path:
    longitude = np.arange(8.0 + step / 2, 12.0, step)
    latitude = np.arange(53.5 - step / 2, 50.5, -step)
    heights = hills(*np.meshgrid(longitude, latitude)).astype(np.float32)
    return write_geotiff(
        path, heights, west=8.0, north=53.5, step=step, south_first=south_first, unit="m"
    )


@pytest.mark.parametrize(("step", "samples"), [(0.1, 1), (0.02, 2), (0.005, 6), (0.002, 8)])
def test_fine_models_are_averaged_and_coarse_ones_interpolated(
    tmp_path: Path, step: float, samples: int
) -> None:
    terrain = read_terrain(geotiff_of_hills(tmp_path / "a.tif", step), SMALL)
    assert terrain.samples == samples
    fine = hills(*degrees_of(SMALL, per_pixel=10))
    expected = fine.reshape(50, 10, 50, 10).mean(axis=(1, 3))
    # Between centres 11 km apart, the hills (4 degrees from crest to crest) lie in chords.
    np.testing.assert_allclose(terrain.height, expected, atol=6.0 if step == 0.1 else 0.5)
    assert np.abs(terrain.height - expected[::-1]).max() > 100
    assert np.abs(terrain.height - expected[:, ::-1]).max() > 100
    assert not terrain.sea.any()
    assert terrain.height.dtype == np.float32


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    north = read_terrain(geotiff_of_hills(tmp_path / "n.tif"), SMALL)
    south = read_terrain(geotiff_of_hills(tmp_path / "s.tif", south_first=True), SMALL)
    np.testing.assert_allclose(south.height, north.height, atol=1e-3)


def test_another_projection_gives_the_same(tmp_path: Path) -> None:
    to_degrees = Transformer.from_crs("EPSG:3035", "EPSG:4326", always_xy=True)
    x = 4_200_000.0 + 1000.0 * (np.arange(260) + 0.5)
    y = 3_320_000.0 - 1000.0 * (np.arange(260) + 0.5)
    heights = hills(*to_degrees.transform(*np.meshgrid(x, y))).astype(np.float32)
    metres = write_geotiff(
        tmp_path / "m.tif", heights, west=4_200_000, north=3_320_000, step=1000, crs="EPSG:3035"
    )
    degrees = geotiff_of_hills(tmp_path / "d.tif", 0.01)
    np.testing.assert_allclose(
        read_terrain(metres, SMALL).height, read_terrain(degrees, SMALL).height, atol=0.5
    )


def test_in_the_grids_own_projection_the_mean_is_exact(tmp_path: Path) -> None:
    heights = np.random.default_rng(0).integers(1, 3000, (216, 216)).astype(np.float32)
    path = write_geotiff(
        tmp_path / "a.tif",
        heights,
        west=SMALL.west - 4000,
        north=SMALL.north + 4000,
        step=500,
        crs=OPERA_PROJECTION,
    )
    expected = heights[8:208, 8:208].reshape(50, 4, 50, 4).mean(axis=(1, 3))
    terrain = read_terrain(path, SMALL)
    assert terrain.samples == 4
    np.testing.assert_allclose(terrain.height, expected, rtol=1e-5)


@pytest.mark.parametrize(("west", "north"), [(0.0, 0.0), (3_700_000.0, 0.0), (0.0, -4_300_000.0)])
def test_means_are_those_of_the_pixel_where_meridians_cross_it_aslant(
    tmp_path: Path, west: float, north: float
) -> None:
    """Warpers that take the box between two corners of a pixel fail here (45 degrees)."""
    corner = Grid("corner", 40, 40, 2.0, west, north)
    longitude, latitude = degrees_of(corner, per_pixel=24)
    step = 1 / 120
    first, last = longitude.min() - 0.1, longitude.max() + 0.1
    bottom, top = latitude.min() - 0.1, latitude.max() + 0.1
    shape = round((top - bottom) / step), round((last - first) / step)
    # White noise, on which any other area shows.
    heights = np.random.default_rng(1).uniform(100, 2000, shape).astype(np.float32)
    path = write_geotiff(tmp_path / "a.tif", heights, west=first, north=top, step=step)
    row, column = ((top - latitude) / step).astype(int), ((longitude - first) / step).astype(int)
    truth = heights[row, column].reshape(40, 24, 40, 24).mean(axis=(1, 3))
    error = read_terrain(path, corner).height - truth
    assert np.sqrt(np.mean(error**2)) < 0.15 * truth.std()


def flat_land_and_sea(path: Path, sea_height: float, **options: float) -> Path:
    """Return a model in the grid's own projection: 100 m in the west, sea east of column 20.5."""
    heights = np.full((108, 108), 100.0, np.float32)
    heights[:, 4 + 41 :] = sea_height
    return write_geotiff(
        path,
        heights,
        west=SMALL.west - 4000,
        north=SMALL.north + 4000,
        step=1000,
        crs=OPERA_PROJECTION,
        **options,
    )


@pytest.mark.parametrize("sea_height", [0.0, -3000.0])
def test_sea_counts_as_its_surface_whatever_its_depth(tmp_path: Path, sea_height: float) -> None:
    terrain = read_terrain(flat_land_and_sea(tmp_path / "a.tif", sea_height), SMALL)
    expected = np.r_[np.full(20, 100.0), 50.0, np.zeros(29)]
    np.testing.assert_allclose(terrain.height, np.tile(expected, (50, 1)), atol=13.0)
    assert not terrain.sea[:, :20].any()
    assert terrain.sea[:, 21:].all()
    assert (terrain.height[:, 22:] == 0).all()


@pytest.mark.parametrize("quarters", range(5))
def test_a_pixel_is_sea_from_half_of_it_on(tmp_path: Path, quarters: int) -> None:
    heights = np.full((216, 216), 100.0, np.float32)
    heights[:, 8 + 4 * 20 : 8 + 4 * 20 + quarters] = -10.0
    path = write_geotiff(
        tmp_path / "a.tif",
        heights,
        west=SMALL.west - 4000,
        north=SMALL.north + 4000,
        step=500,
        crs=OPERA_PROJECTION,
    )
    terrain = read_terrain(path, SMALL)
    assert terrain.sea[:, 20].all() == terrain.sea.any() == (quarters >= 2)
    np.testing.assert_allclose(terrain.height[:, 20], 100.0 - 25.0 * quarters, atol=1e-3)


def test_another_sea_level(tmp_path: Path) -> None:
    path = flat_land_and_sea(tmp_path / "a.tif", 5.0)
    assert not read_terrain(path, SMALL).sea.any()
    flooded = read_terrain(path, SMALL, sea_level_m=7.0)
    assert flooded.sea[:, 21:].all()
    assert (flooded.height[:, 22:] == 7.0).all()


def test_missing_values_are_sea_only_if_someone_says_so(tmp_path: Path) -> None:
    path = flat_land_and_sea(tmp_path / "a.tif", -9999.0, nodata=-9999.0)
    with pytest.raises(InputError, match="without a height") as caught:
        read_terrain(path, SMALL)
    assert "60.00% of the pixels, from 51.5" in str(caught.value)
    assert "dem.nodata_is_sea" in str(caught.value)
    terrain = read_terrain(path, SMALL, nodata_is_sea=True)
    assert terrain.sea[:, 21:].all()
    assert not terrain.sea[:, :20].any()
    assert (terrain.height[:, 22:] == 0).all()


def test_a_single_missing_value_within_the_grid_is_refused(tmp_path: Path) -> None:
    path = flat_land_and_sea(tmp_path / "a.tif", 0.0, nodata=-9999.0)
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(path, "r+") as file:
        heights = file.read(1)
        heights[30, 30] = -9999.0
        heights[0, 0] = -9999.0  # beyond the grid, where nobody looks
        file.write(heights, 1)
    with pytest.raises(InputError, match="without a height") as caught:
        read_terrain(path, SMALL)
    assert "0.16% of the pixels" in str(caught.value)
    with rasterio.open(path, "r+") as file:
        heights[30, 30] = 100.0
        file.write(heights, 1)
    assert not np.isnan(read_terrain(path, SMALL).height).any()


@pytest.mark.parametrize("nodata_is_sea", [False, True])
def test_a_model_that_ends_within_the_grid_is_refused(tmp_path: Path, nodata_is_sea: bool) -> None:
    heights = np.full((100, 300), 100.0, np.float32)
    path = write_geotiff(tmp_path / "a.tif", heights, west=7.0, north=52.0, step=0.02)
    _, latitude = degrees_of(SMALL)
    assert latitude.max() > 52.0
    with pytest.raises(InputError, match="without a height") as caught:
        read_terrain(path, SMALL, nodata_is_sea=nodata_is_sea)
    assert f"to {latitude.max():.2f} N" in str(caught.value)
    assert "from 51.99" in str(caught.value) or "from 52.0" in str(caught.value)


def test_a_model_of_another_continent_is_refused(tmp_path: Path) -> None:
    heights = np.full((40, 40), 100.0, np.float32)
    far = write_geotiff(tmp_path / "a.tif", heights, west=-120.0, north=40.0, step=0.1)
    # Far in transverse Mercator: its coordinates are not even finite here.
    utm = write_geotiff(
        tmp_path / "b.tif", heights, west=5e5, north=4e6, step=1000, crs="EPSG:32756"
    )
    for path in (far, utm):
        with pytest.raises(InputError, match=r"100.00% of the pixels"):
            read_terrain(path, SMALL)


def test_the_north_edge_of_the_grid_must_be_covered(tmp_path: Path) -> None:
    """The grid bulges to 73.93 N in the middle of its northern edge, whatever its corners say."""
    longitude, latitude = np.arange(-45.0, 65.0, 1.0), np.arange(72.5, 25.0, -1.0)
    heights = np.full((len(latitude), len(longitude)), 10.0, np.float32)
    path = write_netcdf(tmp_path / "a.nc", heights, longitude, latitude)
    with pytest.raises(InputError, match="without a height") as caught:
        read_terrain(path, OPERA_2KM)
    assert "from 73.00 to 73.92 N" in str(caught.value)  # pixel centres


@pytest.fixture(scope="module")
def real_dem(shared_data: Path) -> Path:
    path = shared_data / "dem" / "etopo20.cdf"
    if not path.exists():
        pytest.skip("no dem/etopo20.cdf among the real files")
    return path


@pytest.fixture(scope="module")
def real_terrain(real_dem: Path) -> Terrain:
    return read_terrain(real_dem, OPERA_2KM)


LAND = {
    "Mont Blanc": (6.87, 45.83, 1500, 3000),
    "Jotunheimen": (8.3, 61.6, 1000, 2000),
    "Great Hungarian Plain": (20.5, 47.0, 50, 150),
    "Castile": (-4.0, 41.0, 700, 1800),
}
SEA = {
    "North Sea": (3.0, 56.0),
    "Atlantic": (-15.0, 55.0),
    "Tyrrhenian Sea": (12.0, 40.0),
    "Norwegian Sea": (5.0, 67.0),
}


@pytest.mark.shared_data
@pytest.mark.parametrize("place", LAND)
def test_known_land_has_its_height(real_terrain: Terrain, place: str) -> None:
    longitude, latitude, low, high = LAND[place]
    pixel = OPERA_2KM.pixel_of(longitude, latitude)
    assert low < real_terrain.height[pixel] < high
    assert not real_terrain.sea[pixel]


@pytest.mark.shared_data
@pytest.mark.parametrize("place", SEA)
def test_known_sea_is_sea(real_terrain: Terrain, place: str) -> None:
    pixel = OPERA_2KM.pixel_of(*SEA[place])
    assert real_terrain.sea[pixel]
    assert real_terrain.height[pixel] == 0


@pytest.mark.shared_data
def test_the_terrain_is_not_mirrored(real_terrain: Terrain) -> None:
    """The mirror image has the Alps where the Norwegian Sea is, and the other way round."""
    row, column = OPERA_2KM.pixel_of(6.87, 45.83)
    assert real_terrain.height[row, column] > 1500
    assert real_terrain.sea[OPERA_2KM.height - 1 - row, column]
    assert not real_terrain.sea[row, OPERA_2KM.width - 1 - column]
    assert real_terrain.height[row, OPERA_2KM.width - 1 - column] < 600


@pytest.mark.shared_data
def test_the_real_model_is_interpolated_between_its_own_places(
    real_dem: Path, real_terrain: Terrain
) -> None:
    """An independent way: SciPy reads and interpolates the file in degrees."""
    longitude, latitude, heights = etopo(real_dem)
    there = RegularGridInterpolator((latitude, longitude), np.maximum(heights, 0))
    east, north = degrees_of(OPERA_2KM)
    expected = there((north[::7, ::7], east[::7, ::7]))
    # The steps of the file's longitudes add up to 360 degrees but for 4e-5.
    np.testing.assert_allclose(real_terrain.height[::7, ::7], expected, atol=0.2)
    assert real_terrain.variable == "ROSE"
    assert real_terrain.samples == 1


@pytest.mark.shared_data
def test_a_geotiff_of_the_real_model_gives_the_same(tmp_path: Path, real_dem: Path) -> None:
    grid = GRIDS["test_2km"]
    expected = read_terrain(real_dem, grid)
    longitude, latitude, heights = etopo(real_dem)
    north_first = write_geotiff(
        tmp_path / "degrees.tif",
        heights[::-1],
        west=longitude[0] - 1 / 6,
        north=90.0,
        step=1 / 3,
    )
    found = read_terrain(north_first, grid)
    np.testing.assert_allclose(found.height, expected.height, atol=0.2)
    assert (found.sea != expected.sea).mean() < 1e-3
    # The same on a metric grid of 5 km, in the projection of European statistics.
    to_degrees = Transformer.from_crs("EPSG:3035", "EPSG:4326", always_xy=True)
    x = 3_500_000.0 + 5000.0 * (np.arange(400) + 0.5)
    y = 4_100_000.0 - 5000.0 * (np.arange(400) + 0.5)
    east, north = to_degrees.transform(*np.meshgrid(x, y))
    there = RegularGridInterpolator((latitude, longitude), np.maximum(heights, 0))
    metres = write_geotiff(
        tmp_path / "metres.tif",
        there((north, east)).astype(np.float32),
        west=3_500_000,
        north=4_100_000,
        step=5000,
        crs="EPSG:3035",
    )
    difference = np.abs(read_terrain(metres, grid).height - expected.height)
    assert difference.mean() < 1.0
    assert difference.max() < 25.0


def etopo(path: Path) -> tuple[Float64, Float64, Float64]:
    """Return longitudes from -180, ascending latitudes and heights, without the doubled column."""
    xarray = pytest.importorskip("xarray")
    with xarray.open_dataset(path, engine="scipy") as dataset:
        longitude = (dataset["ETOPO20X1_1081"].values[:-1] + 180.0) % 360.0 - 180.0
        order = np.argsort(longitude)
        heights = dataset["ROSE"].values[:, :-1][:, order].astype(np.float64)
        return longitude[order], dataset["ETOPO20Y"].values, heights
