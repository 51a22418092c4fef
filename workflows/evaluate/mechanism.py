"""Evaluate the mechanism: whether a surrogate notices that one cell grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minkgen.evaluate.figures import ResponseCurves, as_png, response_of_a_cell
from minkgen.evaluate.mechanism import FACTORS, cell_test, response_shares, threshold_to_cross
from minkgen.evaluate.results.surrogates import mechanism_table
from minkgen.learn.fidelity import attribution
from minkgen.recipe import Recipe
from minkgen.store.files import write_bytes, write_json
from minkgen.workflows.evaluate.emulator import EvaluateResult
from minkgen.workflows.evaluate.subject import open_subject
from minkgen.workflows.evaluate.surrogates import predict_functionals
from minkgen.workflows.progress import Progress, Silent

__all__ = ["evaluate_mechanism"]

FIGURE = "mechanism.png"


def evaluate_mechanism(
    recipe: Recipe,
    *,
    split: str = "test",
    surrogates: Sequence[str] = (),
    progress: Progress | None = None,
) -> EvaluateResult:
    """Scale one cell of a synthetic field, for every surrogate (its first seed).

    Writes `mechanism.json`, `mechanism.txt` and `mechanism.png`.

    Parameters
    ----------
    recipe : Recipe
    split : {"test", "validation", "train"}, optional
        Only decides the folder, which is that of the other evaluations: the field is synthetic.
    surrogates : sequence of str, optional
        Their names; by default all that are there.
    progress : Progress, optional

    Returns
    -------
    EvaluateResult

    Raises
    ------
    StoreError, EmptySplitError, InputError, TrainingError
        As `evaluate_emulator`.
    """
    progress = progress or Silent()
    subject = open_subject(recipe, split, surrogates)
    test = cell_test(subject.snapshot.tile_size, subject.snapshot.drizzle)
    scaled = test.scaled(FACTORS)
    exact = subject.exact_gamma()(scaled)
    shown = threshold_to_cross(subject.snapshot.thresholds, test.peak)
    progress.stage("scale one cell", len(subject.surrogates))
    predicted, maps = {}, {}
    for each in subject.surrogates:
        predicted[each.name] = predict_functionals(each.first, scaled, subject.functionals)
        maps[each.name] = attribution(each.first, test.rain_rate[None])[0]
        progress.advance(1, each.title)
    content = {
        **subject.as_dict(),
        "factors": list(FACTORS),
        "cell": {
            "pixels": int(test.cell.sum()),
            "share": float(test.cell.mean()),
            "peak_mm_h": test.peak,
        },
        "shown_threshold": shown,
        "exact": exact.tolist(),
        "surrogates": {
            name: {
                "gamma": gamma.tolist(),
                "response": dict(
                    zip(subject.functionals, response_shares(exact, gamma), strict=True)
                ),
                "attribution_in_cell": _share_in_cell(maps[name], test.cell),
            }
            for name, gamma in predicted.items()
        },
    }
    text = mechanism_table(content).as_text()
    figure = response_of_a_cell(
        test.rain_rate,
        test.cell,
        maps,
        ResponseCurves(
            np.asarray(FACTORS),
            float(subject.snapshot.thresholds[shown]),
            exact[:, :, shown],
            {name: gamma[:, :, shown] for name, gamma in predicted.items()},
        ),
        titles={each.name: each.title for each in subject.surrogates},
        functionals=subject.functionals,
        pixel_km=subject.snapshot.pixel_km,
        attribution="Synthetic field, not a measurement",
    )
    write_bytes(subject.folder / FIGURE, as_png(figure))
    write_bytes(subject.folder / "mechanism.txt", f"{text}\n".encode())
    write_json(subject.folder / "mechanism.json", content, readable=True)
    return EvaluateResult(subject.folder, content, text, subject.folder / FIGURE)


def _share_in_cell(values: np.ndarray[Any, Any], cell: np.ndarray[Any, Any]) -> float | None:
    """Return how much of all attribution lies in the cell; None where there is none at all."""
    total = float(values.sum())
    return float(values[cell].sum()) / total if total > 0 else None
