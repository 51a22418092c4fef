"""Scores of the members of a generative model: CRPS, spread and skill, reliability."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.superres.pixels import quotient
from minkgen.evaluate.superres.settings import ScoreSetting

__all__ = ["ensemble_scores", "ensemble_sums", "fair_crps"]

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


def fair_crps(truth: npt.ArrayLike, members: npt.ArrayLike) -> Float64Array:
    """Return the fair estimate of the continuous ranked probability score of every pixel.

    mean_i |x_i - y| - Σ_i Σ_j |x_i - x_j| / (2 M (M - 1)), right when members tie: equal members
    add nothing. Its expectation is the score of the distribution that members are drawn from, so
    that models with different numbers of members can be compared.

    Parameters
    ----------
    truth : array_like (...)
    members : array_like (M, ...)
        M >= 2.

    Returns
    -------
    array (...)
        In the unit of the fields; may be below 0.

    Examples
    --------
    >>> float(fair_crps(1.0, [0.0, 0.0])), float(fair_crps(1.0, [0.0, 2.0]))
    (1.0, 0.0)
    """
    ordered = np.sort(np.asarray(members, np.float64), axis=0)
    count = len(ordered)
    error = np.abs(ordered - np.asarray(truth, np.float64)).mean(axis=0)
    # The member of rank i is above i others and below M - 1 - i.
    ranks = 2.0 * np.arange(count) - (count - 1)
    between = np.tensordot(ranks, ordered, 1) / (count * (count - 1))
    crps: Float64Array = error - between
    return crps


def ensemble_sums(
    setting: ScoreSetting, truth: Float32Array, members: Float32Array
) -> dict[str, Float64Array]:
    """Return sums over the pixels of a chunk; nothing for a single member.

    `crps` and `mean_absolute_error` in mm/h, `variance` (unbiased) and `mean_squared_error` in
    (mm/h)², the errors those of the ensemble's mean; and of each threshold (T, M + 1) by the number
    of members at or above it: `foretold`, the number of pixels, and `came_true`, those of them that
    the truth has at or above it.
    """
    count = len(members)
    if count < 2:
        return {}
    means = np.zeros(4)
    foretold = np.zeros((len(setting.fss_mm_h), count + 1))
    came_true = np.zeros_like(foretold)
    # Tile by tile: the members of one stay in the cache.
    for place, of_truth in enumerate(truth):
        drawn = members[:, place].astype(np.float64)
        error = drawn.mean(axis=0) - of_truth
        means += (
            fair_crps(of_truth, drawn).sum(),
            np.abs(error).sum(),
            drawn.var(axis=0, ddof=1).sum(),
            np.square(error).sum(),
        )
        for row, u in enumerate(setting.fss_mm_h):
            votes = (members[:, place] >= np.float32(u)).sum(axis=0).ravel()
            wet = (of_truth >= np.float32(u)).ravel()
            foretold[row] += np.bincount(votes, minlength=count + 1)
            came_true[row] += np.bincount(votes[wet], minlength=count + 1)
    names = ("crps", "mean_absolute_error", "variance", "mean_squared_error")
    sums = {name: np.asarray(value) for name, value in zip(names, means, strict=True)}
    return sums | {"foretold": foretold, "came_true": came_true}


def ensemble_scores(
    setting: ScoreSetting, sums: dict[str, Float64Array], members: int
) -> dict[str, Any]:
    """Return the scores of merged sums.

    Returns
    -------
    dict
        `ensemble`, None for a single member: `crps` (fair) and `mae_of_mean` in mm/h; `spread`, the
        root of the mean variance times (M + 1) / M, and `skill`, the RMSE of the ensemble's mean,
        both in mm/h; `spread_skill`, their quotient (below 1: too sure; Fortin et al., 2014);
        `reliability` by threshold: `probability`, the share of members, `frequency`, how often the
        truth was there, and `pixels`.
    """
    if members < 2:
        return {"ensemble": None}
    pixels = float(sums["pixels"])
    spread = float(np.sqrt(sums["variance"] / pixels * (members + 1) / members))
    skill = float(np.sqrt(sums["mean_squared_error"] / pixels))
    return {
        "ensemble": {
            "crps": float(sums["crps"]) / pixels,
            "mae_of_mean": float(sums["mean_absolute_error"]) / pixels,
            "spread": spread,
            "skill": skill,
            "spread_skill": quotient(spread, skill),
            "reliability": {
                f"{u:g}": {
                    "probability": [votes / members for votes in range(members + 1)],
                    "frequency": [
                        quotient(*each) for each in zip(came_true, foretold, strict=True)
                    ],
                    "pixels": [int(each) for each in foretold],
                }
                for u, foretold, came_true in zip(
                    setting.fss_mm_h, sums["foretold"], sums["came_true"], strict=True
                )
            },
        }
    }
