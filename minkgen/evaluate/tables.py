"""Score tables: one list of rows, rendered as text, CSV or JSON.

A row is a model or the targets themselves; a score that a row does not have stays empty. Shares are
printed in percent, as the paper does, and kept as shares (0 to 1) in JSON.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from minkgen.evaluate.metrics import EmulatorScores, ViolationRates
from minkgen.gamma.functionals import UNITS

__all__ = [
    "Column",
    "ScoreRow",
    "columns_of",
    "emulator_rows",
    "table_csv",
    "table_json",
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
    """

    name: str
    scores: dict[str, float | None]


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
    )


def emulator_rows(name: str, scores: EmulatorScores) -> list[ScoreRow]:
    """Return the rows of one emulator: the model, and the targets it was held against.

    The targets have violation rates, too (open contours along a tile's frame are shorter than
    the inequality demands), and no other score.

    Parameters
    ----------
    name : str
        The model.
    scores : EmulatorScores

    Returns
    -------
    list of ScoreRow
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
    return [
        ScoreRow(name, values | _rates(scores.predicted)),
        ScoreRow("targets", _rates(scores.target)),
    ]


def _rates(rates: ViolationRates) -> dict[str, float | None]:
    return dict(vars(rates))


def _cell(row: ScoreRow, column: Column, empty: str) -> str:
    value = row.scores.get(column.key)
    return empty if value is None else column.show(value)


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
    >>> table_csv([ScoreRow("model", {"a": 0.5})], [Column("a", "A", str), Column("b", "B", str)])
    'name,a,b\nmodel,0.5,\n'
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["name", *(column.key for column in columns)])
    writer.writerows(
        [row.name, *(row.scores.get(column.key) for column in columns)] for row in rows
    )
    return stream.getvalue()


def table_json(rows: Sequence[ScoreRow], columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Return the table as plain JSON values: one object per row, None where a score is missing.

    Examples
    --------
    >>> table_json([ScoreRow("targets", {})], [Column("a", "A", str)])
    [{'name': 'targets', 'a': None}]
    """
    return [
        {"name": row.name, **{column.key: row.scores.get(column.key) for column in columns}}
        for row in rows
    ]
