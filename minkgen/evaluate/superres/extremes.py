"""Scores of extremes: peaks of tiles, and levels that few pixels exceed.

Return levels come from exact histograms of all pixels in steps of 0.01 mm/h: the grid of the
truth, and a rounding of predictions that shifts a level of 10 mm/h by 0.05 % at most. Histograms
merge in any grouping and by day; some ten thousand counts hold any number of pixels. (The largest k
pixels would need k fixed before the number of pixels is known.) Peak ratios are kept for every
sample, 8 bytes each, since a median has no mean statistic.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.superres.settings import ScoreSetting
from minkgen.gamma.histogram import ExactHistogram, exact_level

__all__ = ["extreme_scores", "peak_ratios", "rate_histogram"]

_STEPS_PER_MM_H = 100

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


def peak_ratios(truth: Float32Array, predicted: Float32Array) -> Float64Array:
    """Return predicted / observed maximum of every sample (B,), NaN where the truth is dry."""
    peaks, foretold = (each.max(axis=(1, 2)).astype(np.float64) for each in (truth, predicted))
    ratios: Float64Array = np.full_like(peaks, np.nan)
    np.divide(foretold, peaks, out=ratios, where=peaks > 0)
    return ratios


def rate_histogram(fields: Float32Array) -> ExactHistogram:
    """Return the histogram of all pixels (mm/h), as whole numbers of 0.01 mm/h.

    Examples
    --------
    >>> rate_histogram(np.array([[0.0, 0.25, 1.239, 0.25]], np.float32)).values
    array([  0,  25, 124])
    """
    # Most pixels are dry, and sorting them would take most of the time.
    steps = np.rint(fields[fields > 0].astype(np.float64) * _STEPS_PER_MM_H).astype(np.int64)
    values, counts = np.unique(steps[steps > 0], return_counts=True)
    dry = fields.size - int(counts.sum())
    if dry:
        values, counts = np.append(0, values), np.append(dry, counts)
    return ExactHistogram(values.astype(np.int64), counts.astype(np.int64))


def extreme_scores(
    setting: ScoreSetting, ratios: Float64Array, rates: dict[str, ExactHistogram]
) -> dict[str, Any]:
    """Return the scores of all samples.

    Parameters
    ----------
    setting : ScoreSetting
    ratios : array (n,)
        From `peak_ratios`.
    rates : dict of str to ExactHistogram
        `truth` and `predicted`.

    Returns
    -------
    dict
        `peak_ratio`, the median over samples of predicted / observed maximum (above 1: too high);
        `return_level` by the share of pixels above: `truth` and `predicted` in mm/h, and `bias`,
        predicted / truth - 1 (above 0: too high). None where there are no samples with rain, or
        not one pixel is expected above.
    """
    defined = ratios[~np.isnan(ratios)]
    return {
        "peak_ratio": float(np.median(defined)) if defined.size else None,
        "return_level": {
            f"{share:g}": _return_level(exact_level(share), rates)
            for share in setting.return_probabilities
        },
    }


def _return_level(share: Fraction, rates: dict[str, ExactHistogram]) -> dict[str, float | None]:
    if share * rates["truth"].total < 1:
        return {"truth": None, "predicted": None, "bias": None}
    truth, predicted = (
        float(rates[name].inverted_cdf(1 - share)) / _STEPS_PER_MM_H
        for name in ("truth", "predicted")
    )
    bias = predicted / truth - 1.0 if truth > 0 else None
    return {"truth": truth, "predicted": predicted, "bias": bias}
