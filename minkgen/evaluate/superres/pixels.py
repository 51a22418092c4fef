"""Scores pixel by pixel: mean absolute error, mass bias, exceedance ratio."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.superres.settings import ScoreSetting

__all__ = ["pixel_scores", "pixel_sums", "quotient"]

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


def pixel_sums(
    setting: ScoreSetting, truth: Float32Array, predicted: Float32Array
) -> dict[str, Float64Array]:
    """Return sums over the pixels of a chunk; both fields are (B, H, W) in mm/h.

    `pixels`, and of mm/h `absolute_error`, `squared_error`, `mass_truth`, `mass_predicted`; numbers
    of pixels at or above each threshold in `wet_truth` and `wet_predicted`.
    """
    error = predicted.astype(np.float64) - truth
    sums = {
        "pixels": np.float64(truth.size),
        "absolute_error": np.abs(error).sum(),
        "squared_error": np.square(error).sum(),
        "mass_truth": truth.sum(dtype=np.float64),
        "mass_predicted": predicted.sum(dtype=np.float64),
    }
    for name, field in (("truth", truth), ("predicted", predicted)):
        # Rates and thresholds are both float32: ties are everywhere.
        sums[f"wet_{name}"] = np.array(
            [np.count_nonzero(field >= np.float32(u)) for u in setting.exceedance_mm_h]
        )
    return {name: np.asarray(value, np.float64) for name, value in sums.items()}


def pixel_scores(setting: ScoreSetting, sums: dict[str, Float64Array]) -> dict[str, Any]:
    """Return the scores of merged sums.

    Returns
    -------
    dict
        `mae` and `rmse` in mm/h; `mass_bias`, mean predicted / observed (above 1: too wet);
        `exceedance_ratio` by threshold, pixels predicted / observed (above 1: too many). None where
        nothing was observed.
    """
    pixels = float(sums["pixels"])
    return {
        "mae": float(sums["absolute_error"]) / pixels,
        "rmse": float(np.sqrt(sums["squared_error"] / pixels)),
        "mass_bias": quotient(sums["mass_predicted"], sums["mass_truth"]),
        "exceedance_ratio": {
            f"{u:g}": quotient(sums["wet_predicted"][place], sums["wet_truth"][place])
            for place, u in enumerate(setting.exceedance_mm_h)
        },
    }


def quotient(numerator: Any, denominator: Any) -> float | None:
    """Return numerator / denominator as a plain number; None where the latter is 0.

    Examples
    --------
    >>> quotient(3, 2), quotient(1, 0)
    (1.5, None)
    """
    return float(numerator) / float(denominator) if denominator > 0 else None
