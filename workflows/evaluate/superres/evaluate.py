"""Evaluate super-resolution: the table of all models, its figures, and the fields they show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minkgen.errors import StoreError
from minkgen.evaluate.results.superres import (
    all_columns,
    superres_headline,
    superres_tables,
)
from minkgen.evaluate.tables import table_csv, table_json
from minkgen.recipe import Recipe
from minkgen.store.files import read_json, write_bytes, write_json
from minkgen.store.snapshot import Snapshot
from minkgen.workflows.evaluate.emulator import EvaluateResult
from minkgen.workflows.evaluate.superres.figures import FIELDS_FIGURE, draw_superres
from minkgen.workflows.evaluate.superres.scores import score_models
from minkgen.workflows.evaluate.superres.storms import chosen_rows, read_storms, write_storms
from minkgen.workflows.evaluate.superres.subject import open_superres_subject
from minkgen.workflows.progress import Progress, Silent

__all__ = ["evaluate_superres", "redraw_superres"]

SCORES, THROUGHPUT = "superres.json", "superres_throughput.json"
PREDICTIONS = "predictions.npz"


def evaluate_superres(
    recipe: Recipe,
    *,
    split: str = "test",
    models: Sequence[str] = (),
    redraw: bool = False,
    progress: Progress | None = None,
) -> EvaluateResult:
    """Score models of super-resolution on a split of the store's current snapshot.

    Writes `superres.json`, `superres.csv`, `superres.txt`, `predictions.npz` (the chosen storms),
    `superres_*.png`, and `superres_throughput.json` (the only one that another run does not
    repeat).

    Parameters
    ----------
    recipe : Recipe
        Its section `superres` says with which settings models were trained.
    split : {"test", "validation", "train"}, optional
    models : sequence of str, optional
        Their names; by default all that are there.
    redraw : bool, optional
        Score nothing: make text and figures again from what such an evaluation saved.
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
        If a model was not trained on this snapshot, or gives fields that are not finite.
    """
    subject = open_superres_subject(recipe, split, models)
    if redraw:
        return redraw_superres(subject.folder)
    chosen = chosen_rows(subject.snapshot, split)
    scored = score_models(recipe, subject, chosen, progress or Silent())
    columns = all_columns()
    content = {
        **subject.as_dict(),
        "cases": _cases(subject.snapshot, split, chosen),
        **scored.content,
        "table": table_json(scored.rows, columns),
    }
    folder = subject.folder
    write_storms(folder / PREDICTIONS, scored.storms)
    write_bytes(folder / "superres.csv", table_csv(scored.rows, columns).encode())
    write_json(folder / THROUGHPUT, scored.throughput, readable=True)
    write_json(folder / SCORES, content, readable=True)
    return redraw_superres(folder)


def redraw_superres(folder: Path) -> EvaluateResult:
    """Make text and figures again from what an evaluation saved.

    Parameters
    ----------
    folder : Path
        Of the evaluation: runs/superres-evaluation-... of the store.

    Returns
    -------
    EvaluateResult

    Raises
    ------
    StoreError
        If there is no evaluation, or its files are damaged.
    """
    if not (folder / SCORES).exists():
        raise StoreError(
            "there is no evaluation of super-resolution",
            where=folder,
            expected=SCORES,
            hint="run `minkgen evaluate sr` first",
        )
    content = read_json(folder / SCORES)
    tables = superres_tables(content, read_json(folder / THROUGHPUT))
    text = "\n\n".join([superres_headline(content), *(table.as_text() for table in tables)])
    for name, image in draw_superres(content, read_storms(folder / PREDICTIONS)).items():
        write_bytes(folder / name, image)
    write_bytes(folder / "superres.txt", f"{text}\n".encode())
    return EvaluateResult(folder, content, tables[0].as_text(), folder / FIELDS_FIGURE)


def _cases(snapshot: Snapshot, split: str, chosen: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Return which storms are shown: their rows of the split, and what figures call them."""
    rows = list(chosen.values())
    minutes, row, column, highest = (
        np.asarray(snapshot.array(split, name)[:])[rows]
        for name in ("time", "row", "column", "max_rate")
    )
    times = np.datetime_as_string(minutes.astype("datetime64[m]"), unit="m")
    return {
        name: {
            "row": rows[place],
            "title": f"{name}: {highest[place]:.1f} mm/h at most   ({times[place]} UTC, north-west "
            f"pixel in row {row[place]}, column {column[place]})",
        }
        for place, name in enumerate(chosen)
    }
