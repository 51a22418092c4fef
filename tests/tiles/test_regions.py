"""Regions: which tiles lie in a box or a polygon, by coordinates and never mirrored."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as MatplotlibPath
from pyproj import Proj

from minkgen.errors import EmptySplitError
from minkgen.grid import OPERA_2KM, OPERA_PROJECTION, TEST_2KM, Grid
from minkgen.recipe import Tiles
from minkgen.tiles.eligibility import scan_frame, tile_corners
from minkgen.tiles.regions import corners_in_region, inside, tile_centres

HAMBURG = 9.99, 53.55
BOX = (9.6, 53.2, 11.4, 54.0)


def centre(grid: Grid, row: int, column: int, size: int) -> tuple[float, float]:
    """Return the centre of a tile by the PROJ string alone."""
    metres = grid.pixel_km * 1000
    x, y = grid.west + metres * (column + size / 2), grid.north - metres * (row + size / 2)
    longitude, latitude = Proj(OPERA_PROJECTION)(x, y, inverse=True)
    return longitude, latitude


@pytest.mark.parametrize("grid", [TEST_2KM, OPERA_2KM], ids=lambda grid: grid.name)
def test_a_box_around_hamburg_keeps_its_tiles_and_not_their_mirror_images(grid: Grid) -> None:
    size = 16
    tiles = Tiles.model_validate({"size": size, "stride": size, "region": {"box": BOX}})
    everywhere = list(tile_corners(grid.shape, tiles))
    kept = corners_in_region(grid, tiles)
    west, south, east, north = BOX
    expected = []
    for row, column in everywhere:
        longitude, latitude = centre(grid, row, column, size)
        if west <= longitude < east and south <= latitude < north:
            expected.append((row, column))
    assert list(kept) == expected
    assert 5 < len(kept) < 20
    row, column = grid.pixel_of(*HAMBURG)
    assert (row // size * size, column // size * size) in kept
    rows, columns = max(row for row, _ in everywhere), max(column for _, column in everywhere)
    assert not {(rows - row, column) for row, column in kept} & set(kept)
    assert {(row, columns - column) for row, column in kept} != set(kept)
    assert not {(column, row) for row, column in kept} & set(kept)


def test_a_place_in_the_north_of_the_grid_is_in_its_first_rows() -> None:
    tiles = Tiles.model_validate({"region": {"box": (5.0, 66.0, 30.0, 75.0)}})
    kept = corners_in_region(OPERA_2KM, tiles)
    assert kept
    assert max(row for row, _ in kept) < OPERA_2KM.height // 4
    _, latitude = tile_centres(OPERA_2KM, kept, 128)
    assert (latitude > 66).all()
    assert (np.diff([row for row, _ in kept]) >= 0).all()


def test_centres_lie_in_the_middle_of_four_pixels() -> None:
    longitude, latitude = tile_centres(TEST_2KM, [(128, 256)], 128)
    assert TEST_2KM.pixel_of(longitude[0], latitude[0]) == (128 + 64, 256 + 64)
    exact = centre(TEST_2KM, 128, 256, 128)
    assert (longitude[0], latitude[0]) == pytest.approx(exact, abs=1e-9)


def test_the_whole_grid_is_the_default() -> None:
    assert corners_in_region(TEST_2KM, Tiles()) == tuple(tile_corners(TEST_2KM.shape, Tiles()))


def test_a_box_is_the_polygon_of_its_corners() -> None:
    west, south, east, north = BOX
    ring = [(west, south), (west, north), (east, north), (east, south), (west, south)]
    cut = {"size": 16, "stride": 16}
    box = Tiles.model_validate({**cut, "region": {"box": BOX}})
    polygon = Tiles.model_validate({**cut, "region": {"polygon": ring}})
    assert corners_in_region(TEST_2KM, box) == corners_in_region(TEST_2KM, polygon)


def test_a_dent_of_a_polygon_is_outside() -> None:
    horseshoe = [(0, 0), (6, 0), (6, 6), (4, 6), (4, 2), (2, 2), (2, 6), (0, 6)]
    longitude, latitude = np.array([1.0, 3.0, 5.0, 3.0]), np.array([5.0, 5.0, 5.0, 1.0])
    assert inside(horseshoe, longitude, latitude).tolist() == [True, False, True, True]


places = st.tuples(st.floats(-20, 20), st.floats(-20, 20))


@given(
    angles=st.lists(st.integers(0, 359), min_size=3, max_size=12, unique=True),
    radii=st.lists(st.floats(1, 15), min_size=12, max_size=12),
    found=st.lists(places, min_size=1, max_size=20),
)
def test_inside_agrees_with_matplotlib_off_the_edges(
    angles: list[int], radii: list[float], found: list[tuple[float, float]]
) -> None:
    polygon = [
        (radius * math.cos(math.radians(angle)), radius * math.sin(math.radians(angle)))
        for angle, radius in zip(sorted(angles), radii, strict=False)
    ]
    longitude, latitude = np.array(found).T
    path = MatplotlibPath([*polygon, polygon[0]], closed=True)
    near, far = path.contains_points(found, radius=1e-6), path.contains_points(found, radius=-1e-6)
    clear = near == far
    assert np.array_equal(inside(polygon, longitude, latitude)[clear], near[clear])


@given(
    cut=st.tuples(places, places),
    found=st.lists(places, min_size=1, max_size=20),
)
def test_neighbours_share_no_place_and_leave_none_out(
    cut: tuple[tuple[float, float], tuple[float, float]], found: list[tuple[float, float]]
) -> None:
    """A square cut along a broken line: every place lies in just one of the two parts."""
    (x1, _), (x2, _) = cut
    line = [(x1, -20.0), (x2, 3.0), (x1, 20.0)]
    west = [(-20.0, -20.0), *line, (-20.0, 20.0)]
    east = [(20.0, 20.0), *reversed(line), (20.0, -20.0)]
    whole = [(-20.0, -20.0), (20.0, -20.0), (20.0, 20.0), (-20.0, 20.0)]
    # Places on the line itself, as floats have it, besides those found.
    latitude = np.array([place[1] for place in found] * 2)
    on_line = np.interp(latitude, [y for _, y in line], [x for x, _ in line])[: len(found)]
    longitude = np.concatenate((np.array([place[0] for place in found]), on_line))
    both = [inside(part, longitude, latitude).astype(int) for part in (west, east)]
    assert np.array_equal(both[0] + both[1], inside(whole, longitude, latitude).astype(int))


def test_a_region_without_a_tile_says_where_tiles_are() -> None:
    turned = Tiles.model_validate({"region": {"box": (52.5, 8.0, 54.5, 12.0)}})  # latitude first
    with pytest.raises(EmptySplitError, match="holds no tile of the grid opera_2km") as caught:
        corners_in_region(OPERA_2KM, turned)
    assert caught.value.where == "tiles.region"
    assert "(52.5, 8)" in str(caught.value.got)
    assert "N" in str(caught.value.expected)
    assert "256 km wide" in str(caught.value.hint)


def test_only_tiles_of_the_region_are_described() -> None:
    tiles = Tiles.model_validate({"region": {"box": (5.0, 50.0, 12.0, 56.0)}})
    corners = corners_in_region(TEST_2KM, tiles)
    assert 0 < len(corners) < 20
    found = scan_frame(np.ones(TEST_2KM.shape, np.float32), tiles, corners)
    assert list(zip(found.row.tolist(), found.column.tolist(), strict=True)) == list(corners)
