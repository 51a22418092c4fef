"""What follows from a grid of one's own: regions and places in its projection."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pyproj import CRS, Transformer

from minkgen.errors import EmptySplitError
from minkgen.grid import OPERA_2KM, Grid, grid_of
from minkgen.recipe import Region, Tiles
from minkgen.tiles.regions import corners_in_region

# Lambert-93 over the north of France.
GRID = Grid("own", 256, 384, 1.0, 500_000.0, 7_000_000.0, CRS.from_epsg(2154).to_wkt())


def test_a_region_is_looked_up_in_the_projection_of_the_fields() -> None:
    to_degrees = Transformer.from_crs("EPSG:2154", "EPSG:4326", always_xy=True)
    # The centre of the tile at row 128, column 256, and a box of some km about it.
    east, north = to_degrees.transform(500_000.0 + 320_000.0, 7_000_000.0 - 192_000.0)
    box = (east - 0.1, north - 0.1, east + 0.1, north + 0.1)
    assert corners_in_region(GRID, Tiles(region=Region(box=box))) == ((128, 256),)
    row, column = GRID.pixel_of(east + 1e-6, north - 1e-6)
    assert (row, column) == (192, 320)


def test_a_grid_comes_back_from_json() -> None:
    described = json.loads(json.dumps(GRID.as_dict()))
    found = grid_of("own", described)
    assert found == GRID
    np.testing.assert_array_equal(found.x, GRID.x)
    assert grid_of("opera_2km") == OPERA_2KM
    assert grid_of("own") is None
    assert grid_of("own", {"no": "grid"}) is None


def test_tiles_that_do_not_fit_are_refused() -> None:
    with pytest.raises(EmptySplitError, match="no tile fits into the grid"):
        corners_in_region(GRID, Tiles(size=512, stride=512))
