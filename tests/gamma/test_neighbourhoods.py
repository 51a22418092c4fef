"""The tables of the 256 neighbourhoods against plain counting."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from minkgen.gamma.neighbourhoods import BLOCK_SHAPES, CODES, DIRECTIONS, NEIGHBOURHOODS

Pixels = npt.NDArray[np.bool_]

EIGHT, FOUR = np.ones((3, 3), int), ndimage.generate_binary_structure(2, 1)
SIDES = {"north": 1, "south": 2, "west": 4, "east": 8}


def _neighbourhood(code: int, *, entered: bool) -> Pixels:
    """Draw the 3x3 pixels with the higher neighbours, and the pixel itself once it has entered."""
    picture = np.zeros((3, 3), bool)
    for k, (row, column) in enumerate(DIRECTIONS):
        picture[1 + row, 1 + column] = code >> k & 1
    picture[1, 1] = entered
    return picture


def _count_blocks(picture: Pixels) -> npt.NDArray[np.int64]:
    counts = dict.fromkeys(BLOCK_SHAPES, 0)
    for row in range(picture.shape[0] - 1):
        for column in range(picture.shape[1] - 1):
            block = picture[row : row + 2, column : column + 2]
            match block.sum():
                case 1:
                    counts["one"] += 1
                case 2:
                    counts["diagonal" if block[0, 0] == block[1, 1] else "adjacent"] += 1
                case 3:
                    counts["three"] += 1
                case 4:
                    counts["four"] += 1
    return np.array(list(counts.values()))


@pytest.mark.parametrize("code", range(CODES))
def test_changes_of_blocks(code: int) -> None:
    before, after = (_neighbourhood(code, entered=entered) for entered in (False, True))
    change = _count_blocks(after) - _count_blocks(before)
    of_class = NEIGHBOURHOODS.class_changes[NEIGHBOURHOODS.classes[code]]
    np.testing.assert_array_equal(of_class, change)
    np.testing.assert_array_equal(NEIGHBOURHOODS.outside_changes[code, 0], 0)
    np.testing.assert_array_equal(NEIGHBOURHOODS.outside_changes[code, 15], change)
    # Two blocks reach out at a side: those of the two rows, or columns, next to it.
    parts = {
        "north": np.s_[:2],
        "south": np.s_[1:],
        "west": np.s_[:, :2],
        "east": np.s_[:, 1:],
    }
    for side, part in parts.items():
        expected = _count_blocks(after[part]) - _count_blocks(before[part])
        outside = NEIGHBOURHOODS.outside_changes[code, SIDES[side]]
        np.testing.assert_array_equal(outside, expected, side)


@pytest.mark.parametrize("code", range(CODES))
def test_groups_are_the_connected_parts_around_the_pixel(code: int) -> None:
    higher = _neighbourhood(code, entered=False)
    lower = ~_neighbourhood(code, entered=True)
    labels, count = ndimage.label(higher, EIGHT)
    assert NEIGHBOURHOODS.groups[code] == count
    ends = [DIRECTIONS[k] for k in NEIGHBOURHOODS.ascents[code, :count]]
    assert {labels[1 + row, 1 + column] for row, column in ends} == set(range(1, count + 1))

    labels, _ = ndimage.label(lower, FOUR)
    touching = {labels[1 + row, 1 + column] for row, column in DIRECTIONS[::2]} - {0}
    if count >= 2:
        assert len(touching) == count, "higher and lower groups alternate around a saddle"
    ends = [DIRECTIONS[k] for k in NEIGHBOURHOODS.descents[code, : len(touching)]]
    assert {labels[1 + row, 1 + column] for row, column in ends} == touching
    assert all(0 in end for end in ends), "a way down ends in a 4-neighbour"


@pytest.mark.parametrize("code", range(CODES))
def test_a_pixel_changes_the_euler_characteristic_by_one_less_its_groups(code: int) -> None:
    """Gray's formula on the blocks says the same as the groups, but where a hole is filled."""
    one, _, diagonal, three, _ = NEIGHBOURHOODS.class_changes[NEIGHBOURHOODS.classes[code]]
    change = (one - three - 2 * diagonal) / 4
    fills_a_hole = code & 0b01010101 == 0b01010101
    assert change == (1 if fills_a_hole else 1 - int(NEIGHBOURHOODS.groups[code]))
