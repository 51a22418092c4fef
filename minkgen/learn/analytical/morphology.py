"""What is done to a field before its components are counted: opening, closing, persistence mask.

All of it works on rain rates, once for all thresholds: a maximum or minimum of memberships is the
membership of the maximum or minimum rain rate. Windows are square and see nothing beyond the frame.

Measured: R² (log1p, 21 thresholds, persistence floors of 3.4 and 0.44 mm/h) of the Euler
characteristic of the filtered field as a stand-in for components, on 325 real tiles and 289
synthetic ones. The recipe's defaults are the line with the mask of 15 x 15 pixels.

======================================  =====  =========
filters                                 real   synthetic
======================================  =====  =========
none                                    -5.74  -13.27
closing 5 x 5                           -1.28   -6.83
closing 5 x 5, opening 3 x 3             0.06   -1.00
mask 15 x 15                            -0.41   -1.53
closing 5 x 5, mask 7 x 7                0.49   -0.04
closing 5 x 5, mask 15 x 15              0.65    0.03
closing 5 x 5, mask 31 x 31              0.44   -0.60
closing 5 x 5, opening, mask 15 x 15    -0.92   -1.36
======================================  =====  =========
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["closed", "opened", "persistent"]

# Sides of the windows in pixels: see the table.
OPENING, CLOSING, PERSISTENCE = 3, 5, 15


def _highest(rain_rate_BHW: Tensor, side: int) -> Tensor:
    """Pool rows, then columns: a square of 15 x 15 pixels at once takes a third of all the time."""
    for window in ((1, side), (side, 1)):
        reach = (window[0] // 2, window[1] // 2)
        rain_rate_BHW = functional.max_pool2d(rain_rate_BHW, window, stride=1, padding=reach)
    return rain_rate_BHW


def _lowest(rain_rate_BHW: Tensor, side: int) -> Tensor:
    return -_highest(-rain_rate_BHW, side)


def opened(rain_rate_BHW: Tensor) -> Tensor:
    """Return the opening: rain that fits no window of 3 x 3 pixels falls to what does.

    Examples
    --------
    >>> field = torch.zeros(1, 7, 7)
    >>> field[0, 1:4, 1:4], field[0, 5, 5] = 2.0, 9.0
    >>> int(opened(field).count_nonzero()), float(opened(field).max())
    (9, 2.0)
    """
    return _highest(_lowest(rain_rate_BHW, OPENING), OPENING)


def closed(rain_rate_BHW: Tensor) -> Tensor:
    """Return the closing: dry ground that fits no window of 5 x 5 pixels is filled.

    Examples
    --------
    >>> field = torch.ones(1, 9, 9)
    >>> field[0, 3:6, 3:6] = 0.0
    >>> float(closed(field).min())
    1.0
    """
    return _lowest(_highest(rain_rate_BHW, CLOSING), CLOSING)


def persistent(rain_rate_BHW: Tensor, floor_mm_h: float) -> Tensor:
    """Return the field of which the sets are those of rain near peaks that last.

    A component outlives the floor ε if it is born at u + ε or above and still alive at u. So a
    pixel stays in the set at u if rain within 15 x 15 pixels reaches u + ε: Gödel's conjunction of
    two memberships, and that of min(x, highest rate around - ε) at every u.

    Parameters
    ----------
    rain_rate_BHW : Tensor
        In mm/h.
    floor_mm_h : float
        ε, the persistence floor of components.

    Returns
    -------
    Tensor (B, H, W)
        In mm/h, not negative.

    Examples
    --------
    >>> rain = torch.tensor([[[1.0, 5.0, 1.0]]])
    >>> persistent(rain, 3.0), persistent(rain, 9.0)
    (tensor([[[1., 2., 1.]]]), tensor([[[0., 0., 0.]]]))
    """
    reach = _highest(rain_rate_BHW, PERSISTENCE) - floor_mm_h
    return torch.minimum(rain_rate_BHW, reach).clamp_min(0.0)
