"""Evaluate: the table of all surrogates, their γ curves, gradients and speed on one split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minkgen.evaluate.figures import GammaCase, as_png, gamma_curves
from minkgen.evaluate.results.surrogates import headline, score_tables
from minkgen.evaluate.tables import columns_of, table_csv, table_json
from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.learn.data import TileReader
from minkgen.learn.prediction import measure_throughput
from minkgen.recipe import Recipe
from minkgen.store.files import write_bytes, write_json
from minkgen.store.snapshot import open_features
from minkgen.workflows.evaluate.fidelity import evaluate_fidelity
from minkgen.workflows.evaluate.scores import ScoredSubject, score_subject
from minkgen.workflows.evaluate.subject import Subject, open_subject
from minkgen.workflows.evaluate.surrogates import predict_functionals
from minkgen.workflows.progress import Progress, Silent

__all__ = ["EvaluateResult", "evaluate_emulator"]

FIGURE = "gamma_curves.png"
# Tiles of the calls that are timed.
TIMED_TILES = 16


@dataclass(frozen=True)
class EvaluateResult:
    """What an evaluation left behind.

    Attributes
    ----------
    folder : Path
        Of the results: JSON files, and what was made from them.
    content : dict
        The content of the main JSON file.
    text : str
        For people.
    figure : Path
        The main figure.
    """

    folder: Path
    content: dict[str, Any]
    text: str
    figure: Path


def evaluate_emulator(
    recipe: Recipe,
    *,
    split: str = "test",
    surrogates: Sequence[str] = (),
    progress: Progress | None = None,
) -> EvaluateResult:
    """Score surrogates on a split of the store's current snapshot.

    Writes `scores.json`, `scores.csv`, `scores.txt`, `gamma_curves.png`, `fidelity.json`,
    `fidelity.png` and `throughput.json` (the only one that another run does not repeat).

    Parameters
    ----------
    recipe : Recipe
    split : {"test", "validation", "train"}, optional
    surrogates : sequence of str, optional
        Their names; by default all that are there.
    progress : Progress, optional

    Returns
    -------
    EvaluateResult

    Raises
    ------
    StoreError
        If the store has no snapshot.
    EmptySplitError
        If the split has no wet tile.
    InputError
        If a name is unknown.
    TrainingError
        If a surrogate was not trained on this snapshot.
    """
    progress = progress or Silent()
    subject = open_subject(recipe, split, surrogates)
    scored = score_subject(subject, progress)
    columns = columns_of(subject.functionals)
    content = {
        **subject.as_dict(),
        **scored.content,
        "table": table_json(scored.rows, columns),
    }
    fidelity = evaluate_fidelity(subject, progress)
    throughput = _throughput(subject, progress)
    tables = score_tables(content, fidelity, throughput)
    text = "\n\n".join([headline(content), *(table.as_text() for table in tables)])
    folder = subject.folder
    write_bytes(folder / FIGURE, _figure(subject, scored))
    write_bytes(folder / "scores.csv", table_csv(scored.rows, columns).encode())
    write_bytes(folder / "scores.txt", f"{text}\n".encode())
    write_json(folder / "throughput.json", throughput, readable=True)
    write_json(folder / "scores.json", content, readable=True)
    return EvaluateResult(folder, content, tables[0].as_text(), folder / FIGURE)


def _throughput(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Time the first seed of every surrogate on the split's first wet tiles."""
    reader = TileReader(subject.snapshot, subject.split, subject.functionals)
    rain_rate = next(reader.in_order(TIMED_TILES)).rain_rate.numpy()
    progress.stage("time surrogates", len(subject.surrogates))
    timed = {}
    for each in subject.surrogates:
        timed[each.name] = asdict(measure_throughput(each.first, rain_rate))
        progress.advance(1, each.title)
    return timed


def _figure(subject: Subject, scored: ScoredSubject) -> bytes:
    """Draw true and predicted γ of the chosen rows of the split."""
    snapshot = subject.snapshot
    channels = [FUNCTIONALS.index(name) for name in subject.functionals]
    features = open_features(snapshot.path.parent.parent, subject.split, snapshot.name)
    median = subject.median_threshold
    cases = []
    for name, row in scored.cases.items():
        sample = features.isel(sample=row)
        rain_rate = sample["rain_rate"].to_numpy()
        target = sample["gamma"].to_numpy()[channels]
        count = int(target[subject.functionals.index("components"), median])
        title = (
            f"{name}: {count} component{'' if count == 1 else 's'} at "
            f"{snapshot.thresholds[median]:.2f} mm/h   "
            f"({np.datetime_as_string(sample['time'].to_numpy(), unit='m')} UTC, north-west pixel "
            f"in row {int(sample['row'])}, column {int(sample['column'])})"
        )
        tile = np.nan_to_num(rain_rate, nan=0.0)[None]
        predicted = {
            each.name: predict_functionals(each.first, tile, subject.functionals)[0]
            for each in subject.surrogates
        }
        cases.append(GammaCase(title, rain_rate, target, predicted))
    figure = gamma_curves(
        cases,
        titles={each.name: each.title for each in subject.surrogates},
        thresholds=snapshot.thresholds,
        functionals=subject.functionals,
        pixel_km=snapshot.pixel_km,
        attribution=snapshot.metadata["attribution"],
    )
    return as_png(figure)
