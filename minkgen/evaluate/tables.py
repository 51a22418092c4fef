"""Score tables: one list of rows, rendered as text, CSV or JSON.

A row is a model or the targets themselves; a score that a row does not have stays empty. Shares are
printed in percent, as the paper does, and kept as shares (0 to 1) in JSON.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minkgen.evaluate.metrics import EmulatorScores, ViolationRates
from minkgen.gamma.functionals import UNITS

__all__ = [
    "Column",
    "ScoreRow",
    "Table",
    "columns_of",
    "published_columns",
    "rate_values",
    "score_values",
    "seeds_row",
    "table_csv",
    "table_json",
    "table_markdown",
    "table_rows",
    "table_text",
]

EMPTY = "-"


@dataclass(frozen=True)
class ScoreRow:
    """One row of the table.

    Parameters
    ----------
    name : str
        The model, or `targets`.
    scores : dict
        Scores by the column's key; None, or no entry, where the row has none.
    spreads : dict, optional
        Standard deviation over seeds, by the column's key, where there are several.
    """

    name: str
    scores: dict[str, float | None]
    spreads: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table with what is said above it.

    Parameters
    ----------
    title : str
    rows : sequence of ScoreRow
    columns : sequence of Column
    """

    title: str
    rows: Sequence[ScoreRow]
    columns: Sequence[Column]

    def as_text(self) -> str:
        """Return title and table for a terminal."""
        return f"{self.title}\n{table_text(self.rows, self.columns)}"

    def as_markdown(self) -> str:
        """Return title and table as Markdown."""
        return f"{self.title}:\n\n{table_markdown(self.rows, self.columns)}"


@dataclass(frozen=True)
class Column:
    """How one score is headed and printed.

    Parameters
    ----------
    key : str
        The score's name in rows and in JSON.
    title : str
        The heading, unit included.
    show : callable
        From the value to its text.
    """

    key: str
    title: str
    show: Callable[[float], str]


def _percent(share: float) -> str:
    return f"{100.0 * share:.2f}"


def _three_digits(value: float) -> str:
    return f"{value:.3f}"


def _four_figures(value: float) -> str:
    return f"{value:.4g}"


def columns_of(functionals: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of an emulator's table, in order.

    Parameters
    ----------
    functionals : sequence of str
        The emulated functionals.

    Examples
    --------
    >>> [column.key for column in columns_of(("area",))][:3]
    ['loss_counting', 'loss_measure', 'r2_log1p']
    """
    logs = [Column(f"r2_log1p_{name}", f"R2 {name}", _three_digits) for name in functionals]
    physical = [
        Column(f"r2_physical_{name}", f"R2 {name} (physical)", _three_digits)
        for name in functionals
    ]
    errors = [
        Column(f"mae_{name}", f"MAE {name} [{UNITS[name]}]", _four_figures) for name in functionals
    ]
    return (
        Column("loss_counting", "L_M (counting)", _three_digits),
        Column("loss_measure", "L_M (measure)", _three_digits),
        Column("r2_log1p", "R2", _three_digits),
        *logs,
        Column("r2_physical", "R2 (physical)", _three_digits),
        *physical,
        *errors,
        Column("isoperimetric_sets", "isoperimetric [% sets]", _percent),
        Column("isoperimetric_samples", "isoperimetric [% tiles]", _percent),
        Column("monotonicity_sets", "monotonicity [% sets]", _percent),
        Column("monotonicity_samples", "monotonicity [% tiles]", _percent),
        Column("unmoved", "unmoved by one cell x 1.5 [% tiles]", _percent),
    )


def published_columns(functionals: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns that the paper's Table 1 has, too, with its two digits."""
    wanted = ("loss_counting", "r2_log1p", "isoperimetric_sets")
    return tuple(
        column if column.show is _percent else replace(column, show="{:.2f}".format)
        for column in columns_of(functionals)
        if column.key in wanted or column.key.startswith("r2_log1p_")
    )


def score_values(scores: EmulatorScores) -> dict[str, float | None]:
    """Return the scores of one model by the columns' keys.

    Parameters
    ----------
    scores : EmulatorScores
    """
    table = scores.as_dict()
    values: dict[str, float | None] = {
        "loss_counting": scores.loss_counting,
        "loss_measure": scores.loss_measure,
    }
    for transform in ("log1p", "physical"):
        r2 = table["r2"][transform]
        values[f"r2_{transform}"] = r2["mean"]
        values |= {f"r2_{transform}_{name}": r2[name] for name in scores.functionals}
    values |= {f"mae_{name}": error for name, error in table["mae"].items()}
    return values | rate_values(scores.predicted)


def seeds_row(name: str, seeds: Sequence[dict[str, float | None]]) -> ScoreRow:
    """Return the row of a model that was trained from several seeds: means and spreads.

    A score that any seed lacks is empty; the spread is the sample's standard deviation (n - 1).

    Parameters
    ----------
    name : str
        The model.
    seeds : sequence of dict
        Scores of each seed by the column's key, at least one.

    Examples
    --------
    >>> row = seeds_row("model", [{"a": 1.0, "b": None}, {"a": 3.0, "b": 1.0}])
    >>> row.scores, {key: round(value, 3) for key, value in row.spreads.items()}
    ({'a': 2.0, 'b': None}, {'a': 1.414})
    """
    scores: dict[str, float | None] = {}
    spreads = {}
    for key in seeds[0]:
        values = [value for of_seed in seeds if (value := of_seed[key]) is not None]
        whole = len(values) == len(seeds)
        scores[key] = float(np.mean(values)) if whole else None
        if whole and len(seeds) > 1:
            spreads[key] = float(np.std(values, ddof=1))
    return ScoreRow(name, scores, spreads)


def rate_values(rates: ViolationRates) -> dict[str, float | None]:
    """Return violation rates by the columns' keys.

    The targets have them, too: open contours along a tile's frame are shorter than the inequality
    demands.
    """
    return dict(vars(rates))


def _cell(row: ScoreRow, column: Column, empty: str) -> str:
    value = row.scores.get(column.key)
    if value is None:
        return empty
    spread = row.spreads.get(column.key)
    return column.show(value) if spread is None else f"{column.show(value)} ± {column.show(spread)}"


def table_text(rows: Sequence[ScoreRow], columns: Sequence[Column]) -> str:
    """Return the table for people: one line per score, one column per row of the list.

    Models are few and scores are many, so that the transposed table fits a terminal.

    Examples
    --------
    >>> rows = [ScoreRow("model", {"r2_log1p": 0.5}), ScoreRow("targets", {})]
    >>> print(table_text(rows, [Column("r2_log1p", "R2", "{:.2f}".format)]))
    score  model  targets
    R2      0.50        -
    """
    titles = ["score", *(column.title for column in columns)]
    blocks = [[row.name, *(_cell(row, column, EMPTY) for column in columns)] for row in rows]
    width = max(map(len, titles))
    widths = [max(map(len, block)) for block in blocks]
    lines = []
    for index, title in enumerate(titles):
        cells = [block[index].rjust(size) for block, size in zip(blocks, widths, strict=True)]
        lines.append("  ".join([title.ljust(width), *cells]))
    return "\n".join(lines)


def table_csv(rows: Sequence[ScoreRow], columns: Sequence[Column]) -> str:
    r"""Return the table as CSV: one line per row, headed by the columns' keys, full precision.

    Examples
    --------
    >>> columns = [Column("a", "A", str), Column("b", "B", str)]
    >>> table_csv([ScoreRow("model", {"a": 0.5}, {"a": 0.1})], columns)
    'name,a,a_spread,b,b_spread\nmodel,0.5,0.1,,\n'
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    heads = [(column.key, f"{column.key}_spread") for column in columns]
    writer.writerow(["name", *(head for pair in heads for head in pair)])
    for row in rows:
        pairs = [(row.scores.get(column.key), row.spreads.get(column.key)) for column in columns]
        writer.writerow([row.name, *(value for pair in pairs for value in pair)])
    return stream.getvalue()


def table_json(rows: Sequence[ScoreRow], columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Return the table as plain JSON values: one object per row, None where a score is missing.

    Examples
    --------
    >>> table_json([ScoreRow("targets", {})], [Column("a", "A", str)])
    [{'name': 'targets', 'a': None, 'spread': {}}]
    """
    return [
        {
            "name": row.name,
            **{column.key: row.scores.get(column.key) for column in columns},
            "spread": row.spreads,
        }
        for row in rows
    ]


def table_rows(listed: Sequence[dict[str, Any]]) -> list[ScoreRow]:
    """Return the rows that `table_json` listed.

    Examples
    --------
    >>> table_rows([{"name": "targets", "a": None, "spread": {}}])
    [ScoreRow(name='targets', scores={'a': None}, spreads={})]
    """
    return [
        ScoreRow(
            row["name"],
            {key: value for key, value in row.items() if key not in ("name", "spread")},
            row["spread"],
        )
        for row in listed
    ]


def table_markdown(rows: Sequence[ScoreRow], columns: Sequence[Column]) -> str:
    r"""Return the table as Markdown, transposed as `table_text` has it.

    Examples
    --------
    >>> print(table_markdown([ScoreRow("model", {"a": 0.5})], [Column("a", "|A|", str)]))
    | score | model |
    | --- | ---: |
    | \|A\| | 0.5 |
    """
    lines = [
        ["score", *(row.name for row in rows)],
        ["---", *("---:" for _ in rows)],
        *([column.title, *(_cell(row, column, EMPTY) for row in rows)] for column in columns),
    ]
    escaped = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)
