"""Sums over cells of the pixel grid, each cell as high as its lowest pixel.

Gödel's conjunction of memberships is their minimum. A membership grows with the rain rate, so the
minimum over a cell is the membership of its lowest pixel, at every threshold and temperature. A
signed sum over cells therefore is a sum over pixels with weights that depend on the order of the
rain rates alone: they are found once for all thresholds, and a threshold costs one product.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import torch
from torch import Tensor

__all__ = ["Cell", "cell_weights", "weighted_sum"]

# The (row, column) steps of a cell's pixels from its north-west corner.
Cell = tuple[tuple[int, int], ...]


@torch.no_grad()
def cell_weights(rain_rate_BHW: Tensor, cells: Mapping[Cell, float]) -> Tensor:
    """Return the weight of every pixel in a sum over all cells inside the tile.

    Parameters
    ----------
    rain_rate_BHW : Tensor
        In mm/h.
    cells : mapping
        What each cell of a kind counts; kinds are given as steps.

    Returns
    -------
    Tensor (B, H, W)
        Pixels that share the lowest place of a cell share its count, so that the weights follow
        every flip and turn of the tile. They have no gradient: they are constant wherever no two
        pixels of a cell are equal.

    Examples
    --------
    >>> rain = torch.tensor([[[3.0, 1.0, 2.0]]])
    >>> cell_weights(rain, {((0, 0),): 1.0, ((0, 0), (0, 1)): -1.0})
    tensor([[[ 1., -1.,  1.]]])
    """
    weights = torch.zeros_like(rain_rate_BHW)
    for cell, count in cells.items():
        places = _places(cell, rain_rate_BHW.shape)
        members = [rain_rate_BHW[place] for place in places]
        lowest = reduce(torch.minimum, members)
        holders = [(member == lowest).to(weights.dtype) for member in members]
        share = count / sum(holders[1:], start=holders[0])
        for place, holder in zip(places, holders, strict=True):
            weights[place] += holder * share
    return weights


def _places(cell: Cell, shape: torch.Size) -> list[tuple[slice, ...]]:
    """Return, for each pixel of a cell, where it lies in all cells of the kind."""
    height = shape[1] - max(row for row, _ in cell)
    width = shape[2] - max(column for _, column in cell)
    return [
        (slice(None), slice(row, row + max(height, 0)), slice(column, column + max(width, 0)))
        for row, column in cell
    ]


def weighted_sum(soft_BHW: Tensor, weights_BHW: Tensor) -> Tensor:
    """Return the sum over the pixels of each tile of membership times weight, shape (B,)."""
    sums_B: Tensor = torch.linalg.vecdot(soft_BHW.flatten(1), weights_BHW.flatten(1))
    return sums_B
