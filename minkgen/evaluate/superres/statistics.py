"""Statistics of predicted fields: small, of plain arrays, merged in any grouping.

Shape suffixes: M members, B samples, H rows (north first), W columns, F functionals, Q thresholds.

A prediction is treated as a tile is: rates below the drizzle threshold are zeroed before anything
is counted. All scores but those of the ensemble are of member 0, as one field is what a user draws.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError
from minkgen.evaluate.superres.ensembles import ensemble_sums
from minkgen.evaluate.superres.extremes import peak_ratios, rate_histogram
from minkgen.evaluate.superres.fss import fss_sums
from minkgen.evaluate.superres.geometry import gamma_sums
from minkgen.evaluate.superres.pixels import pixel_sums
from minkgen.evaluate.superres.sal import sal
from minkgen.evaluate.superres.settings import ScoreSetting
from minkgen.evaluate.superres.spectra import spectral_sums
from minkgen.gamma.histogram import ExactHistogram

__all__ = ["FieldStatistics", "field_statistics", "merge_statistics"]

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FieldStatistics:
    """All statistics of the predictions of some samples.

    Parameters
    ----------
    members : int
        Fields that the ensemble's scores were taken of.
    sums : dict of str to array of float64
        Sums over samples, whose names and shapes belong to the modules of this package.
    samples : dict of str to array of float64 (n, ...)
        What is kept of every sample, because medians and planes need it: `sal` (n, 3) of structure,
        amplitude and location, and `peak_ratio` (n,); NaN where a score is undefined.
    rates : dict of str to ExactHistogram
        Of all pixels of `truth` and `predicted`, in steps of 0.01 mm/h.
    """

    members: int
    sums: dict[str, Float64Array]
    samples: dict[str, Float64Array]
    rates: dict[str, ExactHistogram]

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self.samples["peak_ratio"])

    def merge(self, other: Self) -> Self:
        """Return the statistics of both sets of samples; grouping does not change scores.

        Raises
        ------
        InputError
            If they are of other settings, tile sizes, or numbers of members.
        """
        shapes, others = (
            {name: sums.shape for name, sums in each.sums.items()} for each in (self, other)
        )
        if self.members != other.members or shapes != others:
            raise InputError(
                "statistics of different evaluations cannot be merged",
                got=f"{other.members} members, {others}",
                expected=f"{self.members} members, {shapes}",
                hint="score everything with one setting, one tile size, as many members",
            )
        return type(self)(
            self.members,
            {name: sums + other.sums[name] for name, sums in self.sums.items()},
            {
                name: np.concatenate([kept, other.samples[name]])
                for name, kept in self.samples.items()
            },
            {name: rates.merge(other.rates[name]) for name, rates in self.rates.items()},
        )


def merge_statistics(parts: Iterable[FieldStatistics]) -> FieldStatistics:
    """Merge the statistics of chunks.

    Parameters
    ----------
    parts : iterable of FieldStatistics
        At least one; read once.

    Returns
    -------
    FieldStatistics

    Raises
    ------
    InputError
        If there is none, or they are of different evaluations.
    """
    merged: FieldStatistics | None = None
    for part in parts:
        merged = part if merged is None else merged.merge(part)
    if merged is None:
        raise InputError("there is nothing to score", got="no statistics")
    return merged


def field_statistics(
    setting: ScoreSetting,
    truth_BHW: npt.ArrayLike,
    predicted_MBHW: npt.ArrayLike,
    gamma_truth_BFQ: npt.ArrayLike,
    gamma_predicted_BFQ: npt.ArrayLike,
) -> FieldStatistics:
    """Return the statistics of a chunk of samples.

    Parameters
    ----------
    setting : ScoreSetting
    truth_BHW : array_like (B, H, W)
        Rain rates in mm/h, missing pixels 0.
    predicted_MBHW : array_like (M, B, H, W)
        Members of the prediction; M = 1 where it is deterministic. Drizzle need not be zeroed.
    gamma_truth_BFQ, gamma_predicted_BFQ : array_like (B, F, Q)
        Exact γ of the truth, and of member 0 after its drizzle was zeroed.

    Returns
    -------
    FieldStatistics

    Raises
    ------
    InputError
        If shapes do not fit each other or the setting, or a value is negative or not finite.
    """
    truth = _drizzle_zeroed(setting, truth_BHW, "truth_BHW", 3)
    members = _drizzle_zeroed(setting, predicted_MBHW, "predicted_MBHW", 4)
    gamma_truth, gamma_predicted = (
        np.asarray(each, np.float64) for each in (gamma_truth_BFQ, gamma_predicted_BFQ)
    )
    _require_fitting(setting, truth, members, gamma_truth, gamma_predicted)
    first = members[0]
    scores, dry = sal(truth, first)
    return FieldStatistics(
        members=len(members),
        sums=dry
        | pixel_sums(setting, truth, first)
        | spectral_sums(setting, truth, first)
        | fss_sums(setting, truth, first)
        | gamma_sums(setting, gamma_truth, gamma_predicted)
        | ensemble_sums(setting, truth, members),
        samples={"sal": scores, "peak_ratio": peak_ratios(truth, first)},
        rates={"truth": rate_histogram(truth), "predicted": rate_histogram(first)},
    )


def _drizzle_zeroed(
    setting: ScoreSetting, values: npt.ArrayLike, name: str, dimensions: int
) -> npt.NDArray[np.float32]:
    fields = np.asarray(values, np.float32)
    if fields.ndim != dimensions or fields.size == 0:
        raise InputError(
            "there are no fields to score",
            where=name,
            got=fields.shape,
            expected="at least one, " + name.rpartition("_")[2],
        )
    # NaN fails every comparison.
    if not ((fields >= 0.0) & (fields < np.inf)).all():
        raise InputError(
            "a field is no rain rate in mm/h",
            where=name,
            got="values that are negative or not finite",
            hint="set missing pixels to 0; a model that gives such values has failed",
        )
    return np.where(fields < np.float32(setting.drizzle_mm_h), np.float32(0.0), fields)


def _require_fitting(
    setting: ScoreSetting,
    truth: npt.NDArray[np.float32],
    members: npt.NDArray[np.float32],
    *gammas: Float64Array,
) -> None:
    if members.shape[1:] != truth.shape:
        raise InputError(
            "prediction and truth cannot be compared",
            got=f"{members.shape} and {truth.shape}",
            expected="(M, B, H, W) and the same (B, H, W)",
        )
    expected = (len(truth), len(setting.functionals), len(setting.thresholds))
    for gamma in gammas:
        if gamma.shape != expected or not np.isfinite(gamma).all():
            raise InputError(
                "γ does not fit the fields and the setting",
                got=gamma.shape if gamma.shape != expected else "values that are not finite",
                expected=f"finite, {expected}: samples, {', '.join(setting.functionals)}, "
                "thresholds",
            )
