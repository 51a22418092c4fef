"""The sections of runs: tables and figures of evaluations, and losses over epochs of trainings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minkgen.errors import StoreError
from minkgen.evaluate.figures.style import with_few_colours
from minkgen.evaluate.report.blocks import (
    Axis,
    Block,
    Cell,
    Curves,
    Picture,
    Pictures,
    Row,
    Score,
    Section,
    Series,
    Table,
    Text,
)
from minkgen.evaluate.results.evaluations import (
    Evaluation,
    evaluation_folders,
    read_evaluation,
)
from minkgen.evaluate.results.surrogates import run_lines
from minkgen.evaluate.tables import Column, ScoreRow
from minkgen.evaluate.tables import Table as ScoreTable
from minkgen.store.files import read_json
from minkgen.workflows.report.contents import Contents

__all__ = ["evaluations_section", "trainings_section"]

MOST_EVALUATIONS, MOST_TRAININGS = 8, 24
# Base64 makes a third more of it; with all else the page stays below 10 MB.
MOST_FIGURE_BYTES = 4_500_000
FIGURE_WIDTH_PIXELS = 1000
# Wider tables are turned over: scores down, models across.
MOST_COLUMNS = 8


def evaluations_section(contents: Contents) -> Section | None:
    """Return Tables 1 and 2 and the figures of the latest evaluations."""
    folders = evaluation_folders(contents.paths.runs)
    if not folders:
        return None
    blocks: list[Block] = []
    left = MOST_FIGURE_BYTES
    for folder in folders[:MOST_EVALUATIONS]:
        try:
            evaluation = read_evaluation(folder)
        except StoreError as error:
            blocks.append(Text(f"{folder.name} is left out: {error}", "warning"))
            continue
        # The paper's numbers stand beside many, and are shown once.
        blocks += [block for block in _evaluation(evaluation, contents) if block not in blocks]
        pictures = _figures(evaluation, left)
        left -= sum(len(picture.png) for picture in pictures)
        if pictures:
            blocks.append(Pictures(f"Figures of {folder.name}", pictures))
        if len(pictures) < len(evaluation.figures):
            missing = len(evaluation.figures) - len(pictures)
            blocks.append(
                Text(f"{missing} more figures are in runs/{folder.name}: the page has no room.")
            )
    if len(folders) > MOST_EVALUATIONS:
        earlier = ", ".join(folder.name for folder in folders[MOST_EVALUATIONS:])
        blocks.append(Text(f"Earlier evaluations are in runs/: {earlier}."))
    return Section("evaluations", "Evaluations", tuple(blocks))


def _evaluation(evaluation: Evaluation, contents: Contents) -> Iterator[Block]:
    name = evaluation.folder.name
    current = contents.snapshot.name if contents.snapshot else None
    if evaluation.snapshot != current:
        yield Text(f"{name} is of {evaluation.snapshot}, which is not current.", "warning")
    runs = run_lines(evaluation.about)
    about = [line for line in evaluation.headline.splitlines() if line not in runs]
    yield _shown(evaluation.scores, f"{evaluation.scores.title}: {name}", " · ".join(about))
    yield _shown(evaluation.published, evaluation.published.title)
    if runs:
        yield _runs(evaluation)


def _runs(evaluation: Evaluation) -> Table:
    """Return what the trainings behind an evaluation have spent."""
    runs = [
        (row["title"], int(seed), run)
        for row in evaluation.about.values()
        for seed, run in row.get("seeds", {}).items()
    ]
    rows = [
        Row(
            (
                title,
                seed,
                run["run"],
                run["epochs"],
                run["best_epoch"],
                run["tiles"],
                round(run["seconds"]),
                run.get("geometric_weight"),
            )
        )
        for title, seed, run in runs
    ]
    heads = ("run", "epochs", "best epoch", "tiles", "time [s]", "weight of geometry")
    hardware = dict.fromkeys(run["hardware"] for _, _, run in runs)
    return Table(
        f"Trainings behind {evaluation.folder.name}",
        ("model", "seed", *heads),
        tuple(rows),
        f"Trained on {'; '.join(hardware)}.",
    )


def _shown(table: ScoreTable, title: str, note: str = "") -> Table:
    """Return a table of scores as a block: models down if it is not too wide, else scores."""
    cells = [[_cell(row, column) for column in table.columns] for row in table.rows]
    if len(table.columns) <= MOST_COLUMNS:
        heads: tuple[str, ...] = ("model", *(column.title for column in table.columns))
        lines = [(row.name, *line) for row, line in zip(table.rows, cells, strict=True)]
    else:
        heads = ("score", *(row.name for row in table.rows))
        turned = zip(*cells, strict=True)
        lines = [(column.title, *line) for column, line in zip(table.columns, turned, strict=True)]
    return Table(title, heads, tuple(map(Row, lines)), note)


def _cell(row: ScoreRow, column: Column) -> Cell:
    """Return a score as its column prints it, with its spread over seeds."""
    value, spread = row.scores.get(column.key), row.spreads.get(column.key)
    if value is None:
        return None
    text = column.show(value)
    return Score(value, text if spread is None else f"{text} ± {column.show(spread)}")


def _figures(evaluation: Evaluation, most_bytes: int) -> tuple[Picture, ...]:
    pictures: list[Picture] = []
    for figure in evaluation.figures:
        png = with_few_colours(figure.path.read_bytes(), FIGURE_WIDTH_PIXELS)
        most_bytes -= len(png)
        if most_bytes < 0:
            break
        pictures.append(
            Picture(png, f"{figure.title} ({evaluation.split})", figure.title, evaluation.split)
        )
    return tuple(pictures)


@dataclass(frozen=True)
class _Training:
    """What a training has logged, an entry an epoch."""

    name: str
    epochs: list[dict[str, Any]]


def trainings_section(contents: Contents) -> Section | None:
    """Return the losses over epochs of the latest trainings, by what is trained."""
    logs = sorted(
        contents.paths.runs.glob("*/metrics.jsonl"),
        key=lambda path: (path.stat().st_mtime, path.parent.name),
    )
    kept = sorted(logs[-MOST_TRAININGS:], key=lambda path: path.parent.name)
    blocks: list[Block] = []
    for kind, charts in _CHARTS.items():
        trainings = [_read(path) for path in kept if path.parent.name.startswith(f"{kind}-")]
        for chart in charts:
            series = tuple(
                line for group, each in enumerate(trainings) for line in chart.lines(each, group)
            )
            if series:
                axis = Axis(chart.label, "log")
                blocks.append(Curves(chart.title, Axis("epoch"), axis, series, note=chart.note))
    if not blocks:
        return None
    if len(logs) > len(kept):
        blocks.append(Text(f"The latest {len(kept)} of {len(logs)} trainings."))
    return Section("trainings", "Trainings", tuple(blocks))


@dataclass(frozen=True)
class _Chart:
    """Lines over epochs: each has a name, a style, and how a value is taken from an entry."""

    title: str
    label: str
    note: str
    values: tuple[tuple[str, int, Callable[[dict[str, Any]], Any]], ...]

    def lines(self, training: _Training, group: int) -> Iterator[Series]:
        for name, style, value in self.values:
            points = [(epoch["epoch"], value(epoch)) for epoch in training.epochs]
            known = [(x, y) for x, y in points if y is not None]
            if known:
                x, y = np.array(known, np.float64).T
                yield Series(f"{training.name}, {name}", x, y, group=group, style=style)


_CHARTS = {
    "emulator": (
        _Chart(
            "Emulators: L_M over epochs",
            "L_M (counting)",
            "Solid: training split; broken: validation split, by which the best epoch is chosen.",
            (
                ("training", 0, lambda epoch: epoch["train"]["total"]),
                ("validation", 1, lambda epoch: epoch["validation"]["counting"]["total"]),
            ),
        ),
    ),
    "superres": (
        _Chart(
            "Super-resolution: the models' own training loss over epochs",
            "own loss",
            "Without the geometric loss. Kinds of models have losses of different meaning.",
            (("training", 0, lambda epoch: epoch["train"].get("own")),),
        ),
        _Chart(
            "Super-resolution: validation score over epochs",
            "validation score",
            "The best epoch has the lowest. Kinds of models have scores of different meaning.",
            (("validation", 1, lambda epoch: epoch["validation"].get("score")),),
        ),
    ),
}


def _read(log: Path) -> _Training:
    try:
        lines = log.read_text(encoding="utf-8").splitlines()
        epochs = [json.loads(line) for line in lines]
        recipe = read_json(log.parent / "recipe.json")
    except (OSError, ValueError) as error:
        raise StoreError(
            "the log of a training cannot be read",
            where=log,
            got=error,
            hint="move the folder out of runs/",
        ) from error
    return _Training(f"{log.parent.name} ({_what(log.parent.name, recipe)})", epochs)


def _what(name: str, recipe: dict[str, Any]) -> str:
    if name.startswith("emulator-"):
        return f"{recipe['emulator']['architecture']}, seed {recipe['emulator']['seed']}"
    settings = recipe["superres"]
    loss = "" if settings["minkowski"] == "none" else f" + {settings['minkowski']}"
    return f"{settings['model']}{loss}, seed {settings['seed']}"
