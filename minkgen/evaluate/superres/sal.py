"""Structure, amplitude and location of rain (SAL; Wernli et al., 2008).

Objects are 8-connected sets of pixels at or above 1/15 of the 95th percentile of the field's wet
pixels, of any size. Distances are in units of the tile's diagonal.

A pair that is dry on both sides has no score. A pair that is dry on one side has amplitude 2 or -2,
and neither structure nor location. All of them are counted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label

__all__ = ["sal", "sal_scores"]

# Wernli et al. (2009): of the 95th percentile of wet pixels, linearly interpolated.
_THRESHOLD_FACTOR, _THRESHOLD_QUANTILE = 1.0 / 15.0, 0.95
_EIGHT_CONNECTED = np.ones((3, 3))

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


class _Described(NamedTuple):
    """What SAL compares of a field that is not dry: mm/h, pixels."""

    mean: float
    centre: Float64Array
    spread: float
    volume: float


def sal(
    truth: Float32Array, predicted: Float32Array
) -> tuple[Float64Array, dict[str, Float64Array]]:
    """Return the scores of every pair, and how many are dry.

    Parameters
    ----------
    truth, predicted : array (B, H, W)
        In mm/h, drizzle zeroed.

    Returns
    -------
    array (B, 3)
        Structure (-2 to 2; above 0: too large or too flat objects), amplitude (-2 to 2; above 0:
        too much rain) and location (0 to 2); NaN where undefined.
    dict
        Numbers of pairs: `dry_both`, `dry_truth` and `dry_predicted` (on that side alone).
    """
    scores = np.full((len(truth), 3), np.nan)
    dry = ~truth.any(axis=(1, 2)), ~predicted.any(axis=(1, 2))
    scores[dry[0] & ~dry[1], 1] = 2.0
    scores[~dry[0] & dry[1], 1] = -2.0
    diagonal = float(np.hypot(*truth.shape[1:]))
    for place in np.flatnonzero(~dry[0] & ~dry[1]):
        scores[place] = _compared(_described(truth[place]), _described(predicted[place]), diagonal)
    counts = {
        "dry_both": dry[0] & dry[1],
        "dry_truth": dry[0] & ~dry[1],
        "dry_predicted": ~dry[0] & dry[1],
    }
    return scores, {name: np.asarray(which.sum(), np.float64) for name, which in counts.items()}


def _compared(truth: _Described, predicted: _Described, diagonal: float) -> list[float]:
    moved = float(np.hypot(*(predicted.centre - truth.centre)))
    scattered = abs(predicted.spread - truth.spread)
    return [
        _relative(predicted.volume, truth.volume),
        _relative(predicted.mean, truth.mean),
        (moved + 2.0 * scattered) / diagonal,
    ]


def _relative(predicted: float, truth: float) -> float:
    return (predicted - truth) / (0.5 * (predicted + truth))


def _described(field: Float32Array) -> _Described:
    rain = field.astype(np.float64)
    wet = rain[rain > 0]
    threshold = _THRESHOLD_FACTOR * np.quantile(wet, _THRESHOLD_QUANTILE)
    labels, count = label(rain >= threshold, _EIGHT_CONNECTED)
    of_pixel, places = labels.ravel(), np.flatnonzero(labels)
    of_pixel, mass = of_pixel[places] - 1, rain.ravel()[places]
    masses = np.bincount(of_pixel, mass, count)
    rows, columns = np.divmod(places, rain.shape[1])
    centres = np.stack(
        [np.bincount(of_pixel, mass * each, count) / masses for each in (rows, columns)]
    )
    peaks = np.zeros(count)
    np.maximum.at(peaks, of_pixel, mass)
    total = rain.sum()
    centre = np.array(
        [
            (rain.sum(axis=1) * np.arange(rain.shape[0])).sum(),
            (rain.sum(axis=0) * np.arange(rain.shape[1])).sum(),
        ]
    )
    centre /= total
    distances = np.hypot(*(centres - centre[:, None]))
    return _Described(
        mean=float(rain.mean()),
        centre=centre,
        spread=float((masses * distances).sum() / masses.sum()),
        volume=float((masses * masses / peaks).sum() / masses.sum()),
    )


def sal_scores(of_samples: Float64Array, sums: dict[str, Float64Array]) -> dict[str, Any]:
    """Return the scores of all pairs.

    Parameters
    ----------
    of_samples : array (n, 3)
    sums : dict
        With the numbers of dry pairs.

    Returns
    -------
    dict
        `sal`: for `structure`, `amplitude` and `location` the `mean` (signed) and `mean_absolute`
        over the pairs that have it, their number in `pairs`; `dry` with `both`, `truth` and
        `predicted`, numbers of pairs.
    """
    names = ("structure", "amplitude", "location")
    parts = {name: _means(values) for name, values in zip(names, of_samples.T, strict=True)}
    dry = {name: int(sums[f"dry_{name}"]) for name in ("both", "truth", "predicted")}
    return {"sal": parts | {"dry": dry}}


def _means(values: Float64Array) -> dict[str, Any]:
    defined = values[~np.isnan(values)]
    if not defined.size:
        return {"mean": None, "mean_absolute": None, "pairs": 0}
    return {
        "mean": float(defined.mean()),
        "mean_absolute": float(np.abs(defined).mean()),
        "pairs": len(defined),
    }
