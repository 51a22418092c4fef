"""Persistence pairs of a tile: births and deaths of its components and holes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError
from minkgen.gamma.kernel import as_kernel_input, pair_values

__all__ = ["finite_pairs"]


def finite_pairs(
    field: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Find all finite persistence pairs of nonzero lifetime of a tile's superlevel filtration.

    Parameters
    ----------
    field : ndarray of float32, shape (H, W)
        Rain rate in mm/h, H and W at least 1. NaN and infinities count as 0.0. Not modified.

    Returns
    -------
    components : ndarray of float32, shape (n, 2)
        Birth and death in mm/h (birth > death) of 8-connected components, without the essential
        one. Those that meet no elder component above the field's minimum die there.
    holes : ndarray of float32, shape (m, 2)
        The same for 4-connected dry regions that do not reach the frame.

    Raises
    ------
    InputError
        If the field is not a float32 array of two dimensions with at least one pixel.

    Examples
    --------
    >>> ridge = np.array([[3.0, 1.0, 2.0]], dtype=np.float32)
    >>> finite_pairs(ridge)[0]
    array([[2., 1.]], dtype=float32)
    """
    if field.dtype != np.float32 or field.ndim != 2 or field.size == 0:
        raise InputError(
            "persistence pairs need a float32 tile",
            where="field",
            got=f"{field.dtype} of shape {field.shape}",
            expected="float32 of shape (H, W), H and W at least 1",
        )
    return pair_values(as_kernel_input(field))
