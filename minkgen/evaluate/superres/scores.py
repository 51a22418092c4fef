"""Scores made from merged statistics, as plain JSON values."""

from __future__ import annotations

from typing import Any

from minkgen.evaluate.superres.ensembles import ensemble_scores
from minkgen.evaluate.superres.extremes import extreme_scores
from minkgen.evaluate.superres.fss import fss_scores
from minkgen.evaluate.superres.geometry import gamma_scores
from minkgen.evaluate.superres.pixels import pixel_scores
from minkgen.evaluate.superres.sal import sal_scores
from minkgen.evaluate.superres.settings import ScoreSetting
from minkgen.evaluate.superres.spectra import spectral_scores
from minkgen.evaluate.superres.statistics import FieldStatistics

__all__ = ["field_scores", "scalar_scores"]


def field_scores(setting: ScoreSetting, statistics: FieldStatistics) -> dict[str, Any]:
    """Return every score of merged statistics.

    Parameters
    ----------
    setting : ScoreSetting
        The one that the statistics were made with.
    statistics : FieldStatistics

    Returns
    -------
    dict
        Plain JSON values, None where a score is undefined: `samples`, `members`, `loss` (L_M),
        `gamma` (mean curves), `isoperimetric`, `mae`, `rmse`, `mass_bias`, `exceedance_ratio`,
        `sal`, `rapsd`, `spectrum`, `anisotropy`, `fss`, `peak_ratio`, `return_level`, and
        `ensemble`, which is None for a single member. The modules of this package say what stands
        in each.
    """
    sums = statistics.sums
    return {
        "samples": statistics.count,
        "members": statistics.members,
        **gamma_scores(setting, sums, statistics.count),
        **pixel_scores(setting, sums),
        **sal_scores(statistics.samples["sal"], sums),
        **spectral_scores(setting, sums, statistics.count),
        **fss_scores(setting, sums),
        **extreme_scores(setting, statistics.samples["peak_ratio"], statistics.rates),
        **ensemble_scores(setting, sums, statistics.members),
    }


def scalar_scores(scores: dict[str, Any]) -> dict[str, float]:
    """Return the single numbers among scores by their path, without what is undefined.

    Parameters
    ----------
    scores : dict
        From `field_scores`.

    Returns
    -------
    dict of str to float
        Curves and counts (whole numbers) are left out.

    Examples
    --------
    >>> scalar_scores({"samples": 2, "mae": 0.5, "rapsd": {"ratio": None, "log_ratio": 0.1}})
    {'mae': 0.5, 'rapsd/log_ratio': 0.1}
    """
    found: dict[str, float] = {}
    for name, value in scores.items():
        if isinstance(value, float):
            found[name] = value
        elif isinstance(value, dict):
            found |= {f"{name}/{path}": each for path, each in scalar_scores(value).items()}
    return found
