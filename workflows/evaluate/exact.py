"""The exact γ of any fields, as that of a snapshot's targets is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from minkgen.gamma.matrix import gamma_matrix
from minkgen.learn.surrogate import GammaDefinition

__all__ = ["ExactGamma", "drizzle_zeroed", "exact_gamma"]

FloatArray = npt.NDArray[np.float32]
# Exact γ of tiles (B, H, W), drizzle zeroed, for the functionals that are compared: (B, F, Q).
ExactGamma = Callable[[npt.NDArray[np.floating]], FloatArray]


def exact_gamma(definition: GammaDefinition, functionals: Sequence[str]) -> ExactGamma:
    """Return the function that gives the exact γ of any tiles, as that of the targets is.

    Parameters
    ----------
    definition : GammaDefinition
        Of the targets.
    functionals : sequence of str
        Rows of γ, in this order.
    """

    def exact(rain_rate: npt.NDArray[np.floating]) -> FloatArray:
        return gamma_matrix(
            drizzle_zeroed(rain_rate, definition.drizzle_mm_h),
            definition.thresholds,
            pixel_km=definition.pixel_km,
            min_persistence=definition.floors,
            functionals=functionals,
            essential=definition.essential,
        )

    return exact


def drizzle_zeroed(rain_rate: npt.NDArray[np.floating], drizzle_mm_h: float) -> FloatArray:
    """Return tiles in which rates below the drizzle threshold, negative ones too, are 0."""
    rain_rate = rain_rate.astype(np.float32, copy=False)
    return np.where(rain_rate >= np.float32(drizzle_mm_h), rain_rate, np.float32(0.0))
