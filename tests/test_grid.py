"""Grids: true pixel centres, north first, and files matched within a tolerance."""

from __future__ import annotations

import numpy as np
import pytest
from pyproj import Transformer

from minkgen.errors import SourceError
from minkgen.grid import GRIDS, OPERA_1KM, OPERA_2KM, OPERA_PROJECTION, TEST_2KM, match_grid

# Corners of a NIMBUS file of 2024, off by (-2.53, -1.03) m.
NIMBUS_CORNERS = {
    "LL": (-10.434599999137568, 31.74619995126678),
    "LR": (29.421010616820443, 31.987647094702414),
    "UL": (-39.53581210540537, 67.02281094143176),
    "UR": (57.8119032106317, 67.62104536996274),
}


def test_centres_follow_the_definition() -> None:
    assert OPERA_2KM.x[7] == 1000 + 2000 * 7
    assert OPERA_2KM.y[7] == -1000 - 2000 * 7
    assert OPERA_1KM.x[7] == 500 + 1000 * 7
    assert OPERA_1KM.y[7] == -500 - 1000 * 7


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_rows_run_south_and_columns_east(grid: object) -> None:
    assert isinstance(grid, type(OPERA_2KM))
    assert (np.diff(grid.y) == -grid.pixel_m).all()
    assert (np.diff(grid.x) == grid.pixel_m).all()
    assert grid.shape == (len(grid.y), len(grid.x))


def test_the_test_grid_lies_on_whole_tiles_of_the_composites() -> None:
    row, column = int(-TEST_2KM.north // 2000), int(TEST_2KM.west // 2000)
    assert row % 128 == 0
    assert column % 128 == 0
    assert np.array_equal(OPERA_2KM.y[row : row + 512], TEST_2KM.y)
    assert np.array_equal(OPERA_2KM.x[column : column + 640], TEST_2KM.x)


def test_the_grid_reaches_nearly_74_degrees_north() -> None:
    to_lonlat = Transformer.from_crs(OPERA_PROJECTION, "EPSG:4326", always_xy=True)
    _, latitude = to_lonlat.transform(OPERA_2KM.x[975], OPERA_2KM.y[0] + 1000)
    assert latitude == pytest.approx(73.93, abs=0.01)


@pytest.mark.parametrize("grid", [OPERA_2KM, TEST_2KM])
def test_the_pixel_of_a_place_holds_it(grid: object) -> None:
    assert isinstance(grid, type(OPERA_2KM))
    longitude, latitude = 12.57, 55.68  # Copenhagen
    row, column = grid.pixel_of(longitude, latitude)
    from_lonlat = Transformer.from_crs("EPSG:4326", OPERA_PROJECTION, always_xy=True)
    x, y = from_lonlat.transform(longitude, latitude)
    assert abs(grid.x[column] - x) <= grid.pixel_m / 2
    assert abs(grid.y[row] - y) <= grid.pixel_m / 2


def test_slightly_wrong_corners_match_the_exact_grid() -> None:
    found = match_grid(OPERA_PROJECTION, (2200, 1900), (2000.0, 2000.0), NIMBUS_CORNERS, where="f")
    assert found is OPERA_2KM


@pytest.mark.parametrize(
    ("projdef", "shape", "pixel", "shift"),
    [
        (OPERA_PROJECTION.replace("lat_0=55", "lat_0=54"), (2200, 1900), 2000.0, 0.0),
        (OPERA_PROJECTION, (2200, 1901), 2000.0, 0.0),
        (OPERA_PROJECTION, (2200, 1900), 2001.0, 0.0),
        (OPERA_PROJECTION, (2200, 1900), 2000.0, 0.01),
        (OPERA_PROJECTION, (1_000_000, 1_000_000), 2000.0, 0.0),
        ("+proj=laea", (2200, 1900), 2000.0, 0.0),
    ],
)
def test_another_grid_is_refused(
    projdef: str, shape: tuple[int, int], pixel: float, shift: float
) -> None:
    corners = {key: (lon + shift, lat) for key, (lon, lat) in NIMBUS_CORNERS.items()}
    with pytest.raises(SourceError, match="unknown") as caught:
        match_grid(projdef, shape, (pixel, pixel), corners, where="file.h5")
    assert caught.value.where == "file.h5"
