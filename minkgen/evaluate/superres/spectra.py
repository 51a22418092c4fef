"""Spectral scores: RAPSD ratio, and the directional anisotropy of the finest scales."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.spectra import (
    compared_rings,
    power_spectrum,
    ring_means,
    sectors,
    spectral_ratio,
    wavelengths_km,
)
from minkgen.evaluate.superres.pixels import quotient
from minkgen.evaluate.superres.settings import ScoreSetting

__all__ = ["spectral_scores", "spectral_sums"]

# Tiles whose spectra are held at a time: 2 MB each as complex numbers with their squares.
_BLOCK = 16

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


def spectral_sums(
    setting: ScoreSetting, truth: Float32Array, predicted: Float32Array
) -> dict[str, Float64Array]:
    """Return sums over samples of the power of rings and sectors; both fields are (B, N, N).

    Per field `rings_...` (K,), the mean power of each ring, and `sectors_...` (2,), the mean power
    of fine modes along the axes and along the diagonals, in (mm/h)² per mode.
    """
    sums: dict[str, Float64Array] = {}
    for name, fields in (("truth", truth), ("predicted", predicted)):
        power: Float64Array = np.sum(
            [
                power_spectrum(fields[start : start + _BLOCK]).sum(axis=0)
                for start in range(0, len(fields), _BLOCK)
            ],
            axis=0,
        )
        sums[f"rings_{name}"] = ring_means(power)
        # A tile of few pixels has no fine mode in a sector.
        sums[f"sectors_{name}"] = np.array(
            [
                power[sector].sum() / max(np.count_nonzero(sector), 1)
                for sector in sectors(power.shape[0], setting.pixel_km)
            ]
        )
    return sums


def spectral_scores(
    setting: ScoreSetting, sums: dict[str, Float64Array], count: int
) -> dict[str, Any]:
    """Return the scores of merged sums over `count` samples.

    Returns
    -------
    dict
        `rapsd`: `ratio`, mean over rings of 4 to 200 km of P_truth / P_predicted (above 1: too
        smooth), and `log_ratio`, the mean of its absolute logarithm. `spectrum`: both mean spectra
        by wavelength. `anisotropy`: power along the axes over that along the diagonals, below
        16 km, of `truth`, of `predicted`, and `relative`, predicted / truth (above 1: drawn along
        the grid). None where a spectrum has no power.
    """
    size = round(float(np.sqrt(sums["pixels"] / count)))
    wavelengths = wavelengths_km(size, setting.pixel_km)
    rings = compared_rings(wavelengths)
    truth, predicted = sums["rings_truth"] / count, sums["rings_predicted"] / count
    defined = rings.any() and min(truth[rings].min(), predicted[rings].min()) > 0
    ratios = {name: quotient(*sums[f"sectors_{name}"]) for name in ("truth", "predicted")}
    relative = None
    if ratios["truth"] and ratios["predicted"] is not None:
        relative = ratios["predicted"] / ratios["truth"]
    return {
        "rapsd": spectral_ratio(truth, predicted, wavelengths)
        if defined
        else {"ratio": None, "log_ratio": None},
        "spectrum": {
            "wavelength_km": wavelengths[1:].tolist(),
            "truth": truth[1:].tolist(),
            "predicted": predicted[1:].tolist(),
        },
        "anisotropy": ratios | {"relative": relative},
    }
