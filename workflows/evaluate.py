"""Evaluate: an emulator's scores, table and γ-curve figure on one split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minkgen.errors import TrainingError
from minkgen.evaluate.figures import GammaCase, as_png, choose_cases, gamma_curves
from minkgen.evaluate.metrics import EmulatorScores, EmulatorStatistics, emulator_scores
from minkgen.evaluate.tables import (
    columns_of,
    emulator_rows,
    table_csv,
    table_json,
    table_text,
)
from minkgen.gamma.functionals import FUNCTIONALS, UNITS
from minkgen.learn.checkpoints import design_of, load_emulator
from minkgen.learn.data import TileReader
from minkgen.learn.emulators import EmulatorNetwork, predict
from minkgen.learn.training import BEST, training_budget
from minkgen.recipe import Recipe
from minkgen.store.files import write_bytes, write_json
from minkgen.store.snapshot import Snapshot, open_features, open_snapshot
from minkgen.workflows.progress import Progress, Silent
from minkgen.workflows.train import emulator_run

__all__ = ["EvaluateResult", "evaluate_emulator"]

FIGURE = "gamma_curves.png"
MODEL_NAME = "Lip-CNN, constrained"
# Forward only, so that a batch may be larger than in training; 16 MiB of 128 x 128 pixels.
BATCH_SIZE = 256


@dataclass(frozen=True)
class EvaluateResult:
    """What an evaluation left behind.

    Attributes
    ----------
    folder : Path
        `scores.json` (everything), `scores.csv`, `scores.txt` and `gamma_curves.png`.
    scores : dict
        The content of `scores.json`.
    table : str
        The table as text.
    """

    folder: Path
    scores: dict[str, Any]
    table: str

    @property
    def figure(self) -> Path:
        """The γ-curve figure."""
        return self.folder / FIGURE


def evaluate_emulator(
    recipe: Recipe, *, split: str = "test", progress: Progress | None = None
) -> EvaluateResult:
    """Score the recipe's emulator on a split of the store's current snapshot.

    Parameters
    ----------
    recipe : Recipe
    split : {"test", "validation", "train"}, optional
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
    TrainingError
        If this emulator was not trained on this snapshot.
    """
    progress = progress or Silent()
    snapshot = open_snapshot(recipe.store)
    reader = TileReader(snapshot, split, design_of(snapshot, recipe.emulator).functionals)
    run = emulator_run(recipe.store, snapshot, recipe.emulator)
    if not (run / BEST).exists():
        raise TrainingError(
            "this emulator was not trained on the store's current snapshot",
            where=run,
            expected=f"a run of the recipe's emulator on {snapshot.name}",
            hint="run `minkgen train emulator` with the same recipe first",
        )
    emulator = load_emulator(run / BEST, snapshot)
    scores, positions = _score(emulator, reader, snapshot, progress)
    rows, columns = emulator_rows(MODEL_NAME, scores), columns_of(scores.functionals)
    cases = {name: int(reader.rows[position]) for name, position in positions.items()}
    content = {
        "model": MODEL_NAME,
        "run": run.name,
        "snapshot": snapshot.name,
        "hash": snapshot.hash,
        "split": split,
        "tiles": {"wet": reader.samples, "dry": snapshot.rows(split) - reader.samples},
        "thresholds_mm_h": snapshot.thresholds.tolist(),
        "measure": snapshot.measure.tolist(),
        "units": {name: UNITS[name] for name in scores.functionals},
        "budget": training_budget(run),
        "table": table_json(rows, columns),
        "scores": scores.as_dict(),
        "cases": cases,
        "attribution": snapshot.metadata["attribution"],
    }
    folder = run / f"evaluation-{split}"
    table = table_text(rows, columns)
    write_bytes(folder / FIGURE, _figure(emulator, snapshot, split, cases))
    write_bytes(folder / "scores.csv", table_csv(rows, columns).encode())
    write_bytes(folder / "scores.txt", f"{_headline(content)}\n\n{table}\n".encode())
    write_json(folder / "scores.json", content, readable=True)
    return EvaluateResult(folder, content, table)


def _score(
    emulator: EmulatorNetwork, reader: TileReader, snapshot: Snapshot, progress: Progress
) -> tuple[EmulatorScores, dict[str, int]]:
    """Return the scores, and the positions among the wet tiles of the cases to show."""
    functionals = emulator.functionals
    median = len(snapshot.thresholds) // 2
    statistics: EmulatorStatistics | None = None
    medians = []
    progress.stage("evaluate emulator", -(-reader.samples // BATCH_SIZE))
    for batch in reader.in_order(BATCH_SIZE):
        rain_rate, gamma = (tensor.numpy() for tensor in batch)
        part = EmulatorStatistics.of(predict(emulator, rain_rate), gamma, functionals)
        statistics = part if statistics is None else statistics.merge(part)
        medians.append(gamma[:, :, median])
        progress.advance(1, f"{statistics.log1p.count} tiles")
    if statistics is None:
        raise TrainingError("a split with wet tiles gave no batch", where=snapshot.path)
    of_targets = np.concatenate(medians)
    positions = choose_cases(
        components=of_targets[:, functionals.index("components")],
        area=of_targets[:, functionals.index("area")],
    )
    return emulator_scores(statistics, snapshot.measure), positions


def _figure(
    emulator: EmulatorNetwork, snapshot: Snapshot, split: str, rows: dict[str, int]
) -> bytes:
    """Draw true and predicted γ of some rows of a split."""
    functionals = emulator.functionals
    channels = [FUNCTIONALS.index(name) for name in functionals]
    median = len(snapshot.thresholds) // 2
    features = open_features(snapshot.path.parent.parent, split, snapshot.name)
    cases = []
    for name, row in rows.items():
        sample = features.isel(sample=row)
        rain_rate = sample["rain_rate"].to_numpy()
        target = sample["gamma"].to_numpy()[channels]
        count = int(target[functionals.index("components"), median])
        title = (
            f"{name}: {count} component{'' if count == 1 else 's'} at "
            f"{snapshot.thresholds[median]:.2f} mm/h   "
            f"({np.datetime_as_string(sample['time'].to_numpy(), unit='m')} UTC, north-west pixel "
            f"in row {int(sample['row'])}, column {int(sample['column'])})"
        )
        predicted = predict(emulator, np.nan_to_num(rain_rate, nan=0.0)[None])[0]
        cases.append(GammaCase(title, rain_rate, target, predicted))
    figure = gamma_curves(
        cases,
        thresholds=snapshot.thresholds,
        functionals=functionals,
        pixel_km=snapshot.pixel_km,
        attribution=snapshot.metadata["attribution"],
    )
    return as_png(figure)


def _headline(content: dict[str, Any]) -> str:
    budget = content["budget"]
    return (
        f"{content['run']} on the {content['split']} split of {content['snapshot']}: "
        f"{content['tiles']['wet']} wet tiles ({content['tiles']['dry']} dry ones left out)\n"
        f"trained {budget['epochs']} epochs (best {budget['best_epoch']}) of {budget['tiles']} "
        f"tiles in {budget['seconds']:.0f} s on {budget['hardware']}\n"
        f"{content['attribution']}"
    )
