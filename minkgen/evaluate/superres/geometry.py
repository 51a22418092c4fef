"""Scores of exact γ: the Minkowski image loss, mean curves, and impossible shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.metrics import Violations, signed_log1p
from minkgen.evaluate.superres.pixels import quotient
from minkgen.evaluate.superres.settings import LOSS_FUNCTIONALS, ScoreSetting

__all__ = ["gamma_scores", "gamma_sums"]

_PERIMETERS = ("perimeter", "perimeter_closed")

Float64Array = npt.NDArray[np.float64]


def gamma_sums(
    setting: ScoreSetting, truth: Float64Array, predicted: Float64Array
) -> dict[str, Float64Array]:
    """Return sums over the samples of a chunk; both γ are (B, F, Q) in physical units.

    All (F, Q): `gamma_truth`, `gamma_predicted`, and of the signed log1p the `log_error`, absolute,
    and the `log_residual`, predicted - truth. Besides, of each perimeter and of both sides, the
    numbers of sets, of impossible ones and of samples with any (3,), as `Violations` counts them.
    """
    residual = signed_log1p(predicted) - signed_log1p(truth)
    sums = {
        "gamma_truth": truth.sum(axis=0),
        "gamma_predicted": predicted.sum(axis=0),
        "log_error": np.abs(residual).sum(axis=0),
        "log_residual": residual.sum(axis=0),
    }
    for name in _perimeters(setting):
        for side, gamma in (("truth", truth), ("predicted", predicted)):
            found = Violations.of(
                gamma[:, setting.functionals.index("area")],
                gamma[:, setting.functionals.index(name)],
            )
            sums[f"violations_{name}_{side}"] = np.array(
                [found.sets, found.isoperimetric_sets, found.isoperimetric_samples], np.float64
            )
    return sums


def _perimeters(setting: ScoreSetting) -> list[str]:
    if "area" not in setting.functionals:
        return []
    return [name for name in _PERIMETERS if name in setting.functionals]


def gamma_scores(
    setting: ScoreSetting, sums: dict[str, Float64Array], count: int
) -> dict[str, Any]:
    """Return the scores of merged sums over `count` samples.

    Returns
    -------
    dict
        `loss`, L_M with the `counting` measure and with the grid's own (`measure`), summed over
        `of` (area, perimeter and components, as far as γ has them); `per_functional`, the same of
        each, and `bias`, by `measure` without taking absolutes (above 0: too much). `gamma`: the
        `threshold` in mm/h, and of each functional the mean curves `truth`, `predicted` and
        `log_residual`. `isoperimetric` by perimeter, of `truth` and of `predicted`: the share of
        non-empty `sets` with P² < 4 π A, and of `samples` with any.
    """
    mean_error, mean_residual = sums["log_error"] / count, sums["log_residual"] / count
    weights = np.asarray(setting.measure, np.float64)
    per_functional = {
        name: {
            "counting": float(mean_error[place].sum()),
            "measure": float((mean_error[place] * weights).sum()),
            "bias": float((mean_residual[place] * weights).sum()),
        }
        for place, name in enumerate(setting.functionals)
    }
    summed = [name for name in LOSS_FUNCTIONALS if name in setting.functionals]
    loss: dict[str, Any] = {
        measure: sum((per_functional[name][measure] for name in summed), 0.0)
        for measure in ("counting", "measure")
    }
    curves = {
        name: {
            "truth": (sums["gamma_truth"][place] / count).tolist(),
            "predicted": (sums["gamma_predicted"][place] / count).tolist(),
            "log_residual": mean_residual[place].tolist(),
        }
        for place, name in enumerate(setting.functionals)
    }
    return {
        "loss": loss | {"of": summed, "per_functional": per_functional},
        "gamma": {"threshold": list(setting.thresholds), **curves},
        "isoperimetric": {
            name: {
                side: _rates(sums[f"violations_{name}_{side}"], count)
                for side in ("truth", "predicted")
            }
            for name in _perimeters(setting)
        },
    }


def _rates(found: Float64Array, count: int) -> dict[str, float | None]:
    sets, impossible, samples = found
    return {"sets": quotient(impossible, sets), "samples": float(samples) / count}
