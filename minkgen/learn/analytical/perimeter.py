"""The perimeter of soft sets: by central differences, as the paper has it, or by Crofton's formula.

Each comes open, leaving out what runs along the frame, as `perimeter` does; or closed, the
ground beyond the frame being dry, as for `perimeter_closed` and `perimeter_crofton`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from minkgen.learn.analytical.cells import Cell, cell_weights

__all__ = ["central_differences", "crofton_weights"]

# A quarter of pi for each direction, times the distance of its lines in pixels.
ALONG, ACROSS = math.pi / 4.0, math.pi / 4.0 / math.sqrt(2.0)
# Neighbours along the lines of four directions. A diagonal pair is given by its steps from the
# north-west corner of the block that holds it.
CROFTON_PAIRS: dict[Cell, float] = {
    ((0, 0), (0, 1)): ALONG,
    ((0, 0), (1, 0)): ALONG,
    ((0, 0), (1, 1)): ACROSS,
    ((0, 1), (1, 0)): ACROSS,
}
# sqrt has no finite slope at 0. No soft set that is seen in float32 has such small differences.
LEAST_SQUARE = 1e-20


def central_differences(soft_BHW: Tensor, *, closed: bool) -> Tensor:
    """Return the total variation of soft sets, in pixels: the length of all their outlines.

    Σ |∇s| with central differences: a straight border of a hard set, upright, level or diagonal,
    gets its true length. Open, the set goes on beyond the frame as it is at the frame; closed, it
    ends there. The hard limit is no functional of the γ-matrix but comes near to `perimeter`, or
    closed to `perimeter_closed`, which cut the corners of pixels.

    Parameters
    ----------
    soft_BHW : Tensor
        Memberships from 0 to 1.
    closed : bool
        Count the frame as border.

    Returns
    -------
    Tensor (B,)

    Examples
    --------
    >>> square = torch.zeros(1, 9, 9)
    >>> square[0, 3:6, 3:6] = 1.0
    >>> round(float(central_differences(square, closed=False)), 2)
    10.83
    """
    if closed:
        padded = functional.pad(soft_BHW, (2, 2, 2, 2))
    else:
        padded = functional.pad(soft_BHW, (1, 1, 1, 1), mode="replicate")
    east = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    south = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    steep = (east.square() + south.square()).clamp_min(LEAST_SQUARE).sqrt()
    return 0.5 * (steep - math.sqrt(LEAST_SQUARE)).sum(dim=(1, 2))


def crofton_weights(rain_rate_BHW: Tensor, *, closed: bool) -> Tensor:
    """Return the weights of pixels in the Cauchy-Crofton estimate of the perimeter, in pixels.

    The mean number of borders that lines meet, over lines of four directions through all pixels.
    Between neighbours on a line lies as much border as their memberships differ, which is what they
    add up to, less twice the lower one. The hard limit of the closed form is `perimeter_crofton`;
    the open form leaves the frame out and is nearer to `perimeter`.

    Parameters
    ----------
    rain_rate_BHW : Tensor
        In mm/h.
    closed : bool
        Count the frame as border.

    Returns
    -------
    Tensor (B, H, W)

    Examples
    --------
    >>> one = torch.zeros(1, 5, 5)
    >>> one[0, 2, 2] = 1.0
    >>> weights = crofton_weights(one, closed=True)
    >>> round(float((weights * one).sum() / math.pi), 4)  # (2 + sqrt(2)) / 4
    0.8536
    """
    pairs = {pair: -length for pair, length in CROFTON_PAIRS.items()}
    weights = cell_weights(rain_rate_BHW, pairs)
    if closed:
        return weights + sum(CROFTON_PAIRS.values())
    # On level ground a pair is shared evenly: there it counts what its two members would.
    return weights - cell_weights(torch.zeros_like(rain_rate_BHW[:1]), pairs)
