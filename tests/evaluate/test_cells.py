from __future__ import annotations

import numpy as np
import pytest

from minkgen.evaluate.cells import CELL_FACTOR, largest_cell, movement, scale_cells


def test_the_cell_is_8_connected_and_holds_the_maximum():
    tile = np.zeros((5, 6), np.float32)
    tile[0, 0], tile[1, 1], tile[2, 2] = 2.0, 9.0, 3.0  # a diagonal
    tile[2, 4] = 8.0  # another cell
    tile[1, 2] = 1.9  # below
    cell = largest_cell(tile, 2.0)
    assert np.argwhere(cell).tolist() == [[0, 0], [1, 1], [2, 2]]


def test_only_the_cell_is_scaled_and_tiles_without_one_are_named():
    tiles = np.zeros((2, 4, 4), np.float32)
    tiles[0, 0, 0], tiles[0, 3, 3] = 5.0, 4.0
    tiles[1, 1, 1] = 0.5
    scaled, found = scale_cells(tiles, 1.0)
    assert found.tolist() == [True, False]
    assert scaled.dtype == np.float32
    assert scaled[0, 0, 0] == CELL_FACTOR * 5.0
    assert scaled[0, 3, 3] == 4.0
    np.testing.assert_array_equal(scaled[1], tiles[1])


@pytest.mark.parametrize(("after", "expected"), [(100.5, 0.005), (99.0, 0.01), (100.0, 0.0)])
def test_movement_is_relative_to_the_output(after, expected):
    before = np.full((1, 2, 3), 100.0)
    changed = before.copy()
    changed[0, 1, 2] = after
    assert movement(before, changed) == pytest.approx([expected])


def test_outputs_below_one_are_compared_with_one():
    assert movement(np.full((1, 1, 1), 1e-3), np.full((1, 1, 1), 6e-3)) == pytest.approx([5e-3])
