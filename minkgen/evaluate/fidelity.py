"""Fidelity of gradients: whether γ changes as a surrogate's gradient says it will.

For a tile x, a direction v and a step h, the surrogate foretells the change h <∇γ̂, v>; the exact
functionals change by (γ(x + h v) - γ(x - h v)) / 2. Both are vectors over directions, functionals
and thresholds, compared by their cosine and by the relative L2 error |foretold - true| / |true|.

Every direction has the RMS of the tile's rates, so that h is a share of it. Smooth directions are
Gaussian-filtered noise all over the tile; the scaling of intensities is v = x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

__all__ = ["STEPS", "directions_of", "exact_changes", "summary"]

STEPS = (0.01, 0.03, 0.10)
# Scale of the smooth directions in pixels, and how many of them a tile has.
DEVIATION_PIXELS, SMOOTH_DIRECTIONS = 4.0, 8

FloatArray = npt.NDArray[np.floating]
Float64Array = npt.NDArray[np.float64]


def directions_of(rain_rate: FloatArray, *, seed: int) -> FloatArray:
    """Return directions for tiles: smooth random ones, then the scaling of intensities.

    Parameters
    ----------
    rain_rate : array (B, H, W)
        In mm/h.
    seed : int
        Of the noise, which is the same for every tile.

    Returns
    -------
    array of float32 (B, K, H, W)
        In mm/h, K = `SMOOTH_DIRECTIONS` + 1; each has the tile's RMS.
    """
    random = np.random.default_rng(seed)
    noise = random.standard_normal((SMOOTH_DIRECTIONS, *rain_rate.shape[1:]))
    smooth = gaussian_filter(noise, (0.0, DEVIATION_PIXELS, DEVIATION_PIXELS), mode="wrap")
    smooth /= np.sqrt(np.square(smooth).mean(axis=(1, 2), keepdims=True))
    sizes = np.sqrt(np.square(rain_rate, dtype=np.float64).mean(axis=(1, 2)))
    scaled = sizes[:, None, None, None] * smooth
    return np.concatenate([scaled, rain_rate[:, None]], axis=1).astype(np.float32)


def exact_changes(
    gamma: Callable[[FloatArray], FloatArray],
    rain_rate: FloatArray,
    directions: FloatArray,
    step: float,
) -> Float64Array:
    """Return (γ(x + h v) - γ(x - h v)) / 2 for every direction.

    Parameters
    ----------
    gamma : callable
        From tiles (B, H, W) to their exact γ (B, F, Q); what is below drizzle is dry.
    rain_rate : array (B, H, W)
        In mm/h.
    directions : array (B, K, H, W)
    step : float
        h.

    Returns
    -------
    array (B, K, F, Q)
    """
    changes = [
        np.asarray(gamma(rain_rate + step * v), np.float64) - gamma(rain_rate - step * v)
        for v in np.moveaxis(directions, 1, 0)
    ]
    return np.stack(changes, axis=1) / 2.0


def summary(
    foretold: Float64Array, true: Float64Array, functionals: Sequence[str]
) -> dict[str, Any]:
    """Compare changes tile by tile, for every functional and for `all` of them.

    For `all`, each functional's vector is first divided by the length of its true vector: in
    physical units the area would be all there is.

    Parameters
    ----------
    foretold, true : array (B, K, F, Q)
        In physical units.
    functionals : sequence of str
        Names along F.

    Returns
    -------
    dict
        By part: `tiles` that were compared (where γ does not change at all there is nothing to
        compare with), and of `cosine` and `relative_l2` the `median` and the quartiles `low` and
        `high` over them. A surrogate that foretells no change has cosine 0 and error 1.
    """
    lengths = np.sqrt(np.square(true).sum(axis=(1, 3)))  # (B, F)
    changing = lengths > 0
    scale = np.where(changing, lengths, np.inf)[:, None, :, None]
    parts = {
        name: _compare(foretold[:, :, number], true[:, :, number], changing[:, number])
        for number, name in enumerate(functionals)
    }
    # Where the true vector of a functional is 0, what is foretold for it is left out, too.
    return parts | {"all": _compare(foretold / scale, true / scale, changing.any(axis=1))}


def _compare(
    foretold: Float64Array, true: Float64Array, tiles: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    if not tiles.any():
        return {"tiles": 0, "cosine": None, "relative_l2": None}
    foretold, true = (each[tiles].reshape(int(tiles.sum()), -1) for each in (foretold, true))
    lengths = np.linalg.norm(foretold, axis=1), np.linalg.norm(true, axis=1)
    cosine = (foretold * true).sum(axis=1) / np.where(lengths[0] > 0, lengths[0], 1.0) / lengths[1]
    error = np.linalg.norm(foretold - true, axis=1) / lengths[1]
    return {"tiles": len(true), "cosine": _quartiles(cosine), "relative_l2": _quartiles(error)}


def _quartiles(values: Float64Array) -> dict[str, float]:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return {"median": float(middle), "low": float(low), "high": float(high)}
