"""The Euler characteristic of soft sets: vertices - edges + faces, conjunctions by Gödel."""

from __future__ import annotations

from torch import Tensor

from minkgen.learn.analytical.cells import Cell, cell_weights

__all__ = ["euler_weights"]

# Pixels are the vertices of a grid graph; 4-neighbours are joined by edges, blocks of four span
# faces. That is rain connected along sides: `euler_4`.
EULER_CELLS: dict[Cell, float] = {
    ((0, 0),): 1.0,
    ((0, 0), (0, 1)): -1.0,
    ((0, 0), (1, 0)): -1.0,
    ((0, 0), (0, 1), (1, 0), (1, 1)): 1.0,
}


def euler_weights(rain_rate_BHW: Tensor) -> Tensor:
    """Return the weights of pixels in the Euler characteristic of 4-connected rain.

    The sum of membership times weight is V - E + F of the soft set, an edge being in it as far as
    the lower of its pixels, a face as far as the lowest. Its hard limit is `euler_4`: components
    less holes, rain 4-connected and dry ground 8-connected, everything beyond the frame dry.

    Parameters
    ----------
    rain_rate_BHW : Tensor
        In mm/h.

    Returns
    -------
    Tensor (B, H, W)

    Examples
    --------
    >>> import torch
    >>> ring = torch.ones(1, 3, 3)
    >>> ring[0, 1, 1] = 0.0
    >>> int((euler_weights(ring) * ring).sum())
    0
    """
    return cell_weights(rain_rate_BHW, EULER_CELLS)
