"""Scores of an emulator: statistics of a batch that can be merged, and metrics made from them.

A statistic is a sum over samples, or a mean with its squared deviations, in float64; batches, parts
and workers give the same scores in any grouping. A metric is a function of merged statistics. All
arrays are (F functionals, Q thresholds) unless a docstring says otherwise.

Definitions (`R²_f` is the mean over thresholds; pooling thresholds would inflate it):

- transform of a target and a prediction: sign(z) log1p|z|, which is log1p for all but the Euler
  characteristics; R² is given on it and on physical values;
- L_M = mean over samples of Σ_f Σ_u w(u) |log1p γ̂ - log1p γ|, with w = 1 (counting measure, the
  paper's equation 2) and with w the grid's integration measure;
- isoperimetric violation: P² < 4 π A (1 - 1e-5) where A > 0;
- monotonicity violation: the area at a threshold exceeds the area at the next lower one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError

__all__ = [
    "EmulatorScores",
    "EmulatorStatistics",
    "Regression",
    "ViolationRates",
    "Violations",
    "emulator_scores",
    "perimeter_of",
    "signed_log1p",
]

Float64Array = npt.NDArray[np.float64]

# float32 rounds P and A; a set that meets the bound must not count as a violation for that.
ISOPERIMETRIC_TOLERANCE = 1e-5


def signed_log1p(values: npt.ArrayLike) -> Float64Array:
    """Return sign(z) log1p|z| in float64, the transform in which γ is compared.

    Examples
    --------
    >>> signed_log1p([0.0, 1.0, -1.0]).round(3).tolist()
    [0.0, 0.693, -0.693]
    """
    values = np.asarray(values, np.float64)
    logs: Float64Array = np.sign(values) * np.log1p(np.abs(values))
    return logs


@dataclass(frozen=True)
class Regression:
    """What R² needs, per functional and threshold, of any number of samples.

    Parameters
    ----------
    count : int
        Number of samples.
    mean, deviations : array (F, Q)
        Mean of the targets, and sum of their squared deviations from it.
    low, high : array (F, Q)
        Least and greatest target: equal where the target does not vary. (Rounding leaves the sum
        of squared deviations of a constant slightly above zero.)
    squared_error : array (F, Q)
        Sum of squared errors of the prediction.
    """

    count: int
    mean: Float64Array
    deviations: Float64Array
    low: Float64Array
    high: Float64Array
    squared_error: Float64Array

    @classmethod
    def of(cls, predicted: Float64Array, target: Float64Array) -> Self:
        """Return the statistics of a batch; both arrays are (B, F, Q), B >= 1."""
        mean = target.mean(axis=0)
        return cls(
            count=len(target),
            mean=mean,
            deviations=np.square(target - mean).sum(axis=0),
            low=target.min(axis=0),
            high=target.max(axis=0),
            squared_error=np.square(predicted - target).sum(axis=0),
        )

    def merge(self, other: Self) -> Self:
        """Return the statistics of both sets of samples (Chan, Golub and LeVeque, 1983)."""
        count = self.count + other.count
        step = other.mean - self.mean
        return type(self)(
            count=count,
            mean=self.mean + step * (other.count / count),
            deviations=self.deviations
            + other.deviations
            + np.square(step) * (self.count * other.count / count),
            low=np.minimum(self.low, other.low),
            high=np.maximum(self.high, other.high),
            squared_error=self.squared_error + other.squared_error,
        )

    @property
    def r2(self) -> Float64Array:
        """R² per functional and threshold, shape (F, Q); NaN where the target does not vary."""
        varies = self.high > self.low
        return 1.0 - np.divide(
            self.squared_error,
            self.deviations,
            out=np.full_like(self.mean, np.nan),
            where=varies,
        )


@dataclass(frozen=True)
class Violations:
    """Counts of impossible γ-matrices.

    Parameters
    ----------
    samples : int
        Number of samples.
    sets, isoperimetric_sets, isoperimetric_samples : int
        Pairs (sample, threshold) with area above 0; those that violate the isoperimetric
        inequality; samples with any such pair.
    steps, monotonicity_sets, monotonicity_samples : int
        Pairs (sample, threshold above the lowest) with area above 0; those with more area than
        at the next lower threshold; samples with any such pair.
    """

    samples: int
    sets: int
    isoperimetric_sets: int
    isoperimetric_samples: int
    steps: int
    monotonicity_sets: int
    monotonicity_samples: int

    @classmethod
    def of(cls, area: Float64Array, perimeter: Float64Array) -> Self:
        """Count in a batch; both arrays are (B, Q), in km2 and km."""
        occupied = area > 0.0
        bound = 4.0 * math.pi * area * (1.0 - ISOPERIMETRIC_TOLERANCE)
        impossible = np.square(perimeter) < bound  # never where the area is 0
        rising = area[:, 1:] > area[:, :-1]
        return cls(
            samples=len(area),
            sets=int(occupied.sum()),
            isoperimetric_sets=int(impossible.sum()),
            isoperimetric_samples=int(impossible.any(axis=1).sum()),
            steps=int(occupied[:, 1:].sum()),
            monotonicity_sets=int(rising.sum()),
            monotonicity_samples=int(rising.any(axis=1).sum()),
        )

    def merge(self, other: Self) -> Self:
        """Return the counts of both sets of samples."""
        return type(self)(**{name: value + vars(other)[name] for name, value in vars(self).items()})

    @property
    def rates(self) -> ViolationRates:
        """The counts as shares; 0 where there is no set to count in."""
        return ViolationRates(
            isoperimetric_sets=self.isoperimetric_sets / max(self.sets, 1),
            isoperimetric_samples=self.isoperimetric_samples / self.samples,
            monotonicity_sets=self.monotonicity_sets / max(self.steps, 1),
            monotonicity_samples=self.monotonicity_samples / self.samples,
        )


@dataclass(frozen=True)
class ViolationRates:
    """Shares (0 to 1) of non-empty sets that are impossible, and of samples with any."""

    isoperimetric_sets: float
    isoperimetric_samples: float
    monotonicity_sets: float
    monotonicity_samples: float


@dataclass(frozen=True)
class EmulatorStatistics:
    """All statistics of an emulator's predictions of some samples.

    Parameters
    ----------
    functionals : tuple of str
        Names along the first axis of the arrays; `area` and a perimeter must be among them.
    log1p, physical : Regression
        Of transformed and of physical values.
    log1p_error, absolute_error : array (F, Q)
        Sums over samples of the absolute error of transformed and of physical values.
    predicted, target : Violations
        Of the predictions and of the targets themselves.
    """

    functionals: tuple[str, ...]
    log1p: Regression
    physical: Regression
    log1p_error: Float64Array
    absolute_error: Float64Array
    predicted: Violations
    target: Violations

    @classmethod
    def of(
        cls, predicted: npt.ArrayLike, target: npt.ArrayLike, functionals: Sequence[str]
    ) -> Self:
        """Return the statistics of a batch.

        Parameters
        ----------
        predicted, target : array_like (B, F, Q)
            γ in physical units, B >= 1.
        functionals : sequence of str
            Names along F.

        Raises
        ------
        InputError
            If the shapes differ or do not fit the functionals, or a value is not finite.
        """
        predicted = np.asarray(predicted, np.float64)
        target = np.asarray(target, np.float64)
        _require_comparable(predicted, target, functionals)
        logs, target_logs = signed_log1p(predicted), signed_log1p(target)
        area, perimeter = functionals.index("area"), perimeter_of(functionals)
        return cls(
            functionals=tuple(functionals),
            log1p=Regression.of(logs, target_logs),
            physical=Regression.of(predicted, target),
            log1p_error=np.abs(logs - target_logs).sum(axis=0),
            absolute_error=np.abs(predicted - target).sum(axis=0),
            predicted=Violations.of(predicted[:, area], predicted[:, perimeter]),
            target=Violations.of(target[:, area], target[:, perimeter]),
        )

    def merge(self, other: Self) -> Self:
        """Return the statistics of both sets of samples; grouping does not change them."""
        return type(self)(
            functionals=self.functionals,
            log1p=self.log1p.merge(other.log1p),
            physical=self.physical.merge(other.physical),
            log1p_error=self.log1p_error + other.log1p_error,
            absolute_error=self.absolute_error + other.absolute_error,
            predicted=self.predicted.merge(other.predicted),
            target=self.target.merge(other.target),
        )


def perimeter_of(functionals: Sequence[str]) -> int:
    """Return where the perimeter stands that the isoperimetric inequality is asked of: the first.

    Raises
    ------
    InputError
        If there is none.

    Examples
    --------
    >>> perimeter_of(("area", "perimeter_closed", "components"))
    1
    """
    for place, name in enumerate(functionals):
        if name.startswith("perimeter"):
            return place
    raise InputError(
        "there is no perimeter to score", where="functionals", got=", ".join(functionals)
    )


def _require_comparable(
    predicted: Float64Array, target: Float64Array, functionals: Sequence[str]
) -> None:
    expected = (*target.shape[:1], len(functionals), *target.shape[2:])
    if (
        target.ndim != 3
        or target.shape != expected
        or predicted.shape != expected
        or not expected[0]
    ):
        raise InputError(
            "predictions and targets cannot be compared",
            got=f"{predicted.shape} and {target.shape}",
            expected=f"the same (samples >= 1, {len(functionals)}, thresholds)",
        )
    for name, values in (("predicted", predicted), ("target", target)):
        if not np.isfinite(values).all():
            raise InputError("γ holds values that are not finite", where=name)


@dataclass(frozen=True)
class EmulatorScores:
    """The scores of one emulator on one split.

    Parameters
    ----------
    samples : int
        Number of samples scored.
    functionals : tuple of str
        Names along F.
    loss_counting, loss_measure : float
        L_M with the counting measure and with the grid's integration measure.
    r2_log1p, r2_physical : array (F, Q)
        R² on transformed and on physical values; NaN where the target does not vary.
    mae : array (F, Q)
        Mean absolute error in physical units (km2, km, 1).
    predicted, target : ViolationRates
    """

    samples: int
    functionals: tuple[str, ...]
    loss_counting: float
    loss_measure: float
    r2_log1p: Float64Array
    r2_physical: Float64Array
    mae: Float64Array
    predicted: ViolationRates
    target: ViolationRates

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values; a score that is undefined is None."""
        return {
            "samples": self.samples,
            "loss": {"counting": self.loss_counting, "measure": self.loss_measure},
            "r2": {
                "log1p": self._r2_means(self.r2_log1p),
                "physical": self._r2_means(self.r2_physical),
            },
            "r2_per_threshold": {
                "log1p": self._by_functional(self.r2_log1p),
                "physical": self._by_functional(self.r2_physical),
            },
            "thresholds_without_variance": {
                name: int(np.isnan(row).sum())
                for name, row in zip(self.functionals, self.r2_log1p, strict=True)
            },
            "mae": {
                name: float(row.mean())
                for name, row in zip(self.functionals, self.mae, strict=True)
            },
            "mae_per_threshold": self._by_functional(self.mae),
            "violations": {"predicted": vars(self.predicted), "target": vars(self.target)},
        }

    def _r2_means(self, r2: Float64Array) -> dict[str, float | None]:
        means = [_mean_of_defined(row) for row in r2]
        overall = None if None in means else float(np.mean(np.asarray(means, np.float64)))
        return {"mean": overall, **dict(zip(self.functionals, means, strict=True))}

    def _by_functional(self, values: Float64Array) -> dict[str, list[float | None]]:
        return {
            name: [None if math.isnan(value) else float(value) for value in row]
            for name, row in zip(self.functionals, values, strict=True)
        }


def _mean_of_defined(values: Float64Array) -> float | None:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else None


def emulator_scores(statistics: EmulatorStatistics, measure: npt.ArrayLike) -> EmulatorScores:
    """Make the scores of merged statistics.

    Parameters
    ----------
    statistics : EmulatorStatistics
        Of a whole split.
    measure : array_like (Q,)
        Integration weights of the thresholds.

    Returns
    -------
    EmulatorScores

    Examples
    --------
    >>> target = [[[8.0, 4.0], [12.0, 8.0]], [[16.0, 4.0], [16.0, 9.0]]]
    >>> statistics = EmulatorStatistics.of(target, target, ("area", "perimeter"))
    >>> scores = emulator_scores(statistics, [0.5, 0.5]).as_dict()
    >>> scores["loss"]["counting"], scores["r2"]["log1p"]["mean"]
    (0.0, 1.0)
    >>> scores["thresholds_without_variance"]
    {'area': 1, 'perimeter': 0}
    """
    samples = statistics.log1p.count
    mean_error = statistics.log1p_error / samples
    weights = np.asarray(measure, np.float64)
    return EmulatorScores(
        samples=samples,
        functionals=statistics.functionals,
        loss_counting=float(mean_error.sum()),
        loss_measure=float((mean_error * weights).sum()),
        r2_log1p=statistics.log1p.r2,
        r2_physical=statistics.physical.r2,
        mae=statistics.absolute_error / samples,
        predicted=statistics.predicted.rates,
        target=statistics.target.rates,
    )
