"""Flags of suspicious frames: derived from the frame table by the rules of a recipe, never stored.

A flag is a pure function of the rows given and of the rules. `coverage_drop` alone compares frames,
and only within one UTC day, product and era: the order in which frames came in, and days that
nobody asked for, change no flag.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from statistics import median
from typing import Any

from minkgen.recipe import Ceiling, FlagRules, RepeatedValue

__all__ = ["flags_of"]

Row = Mapping[str, Any]
# Rates lie on a 0.01 mm/h grid, in float32.
_HALF_STEP_MM_H = 0.005


def flags_of(rows: Sequence[Row], rules: FlagRules) -> dict[datetime, tuple[str, ...]]:
    """Return the flags of frames by nominal time.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the frame table: of one day or of many, in any order.
    rules : FlagRules
        The parameters of `ceiling`, `spike`, `coverage_drop` and `repeated_value`.

    Returns
    -------
    dict of datetime to tuple of str
        One entry per row, in the order of `rows`; empty where nothing is suspicious. `ceiling`,
        `spike` and `repeated_value` depend on the frame's own row; `coverage_drop` also on the
        other rows of the same UTC day, product and era.
    """
    usual = _median_coverage(rows)
    flags = {}
    for row in rows:
        raised = {
            "ceiling": _at_ceiling(row, rules.ceiling),
            "spike": row["max_rate"] > rules.spike.above_mm_h,
            "coverage_drop": row["covered_fraction"]
            < (1.0 - rules.coverage_drop.share) * usual[_siblings(row)],
            "repeated_value": _repeats(row, rules.repeated_value),
        }
        flags[_time(row)] = tuple(name for name, suspicious in raised.items() if suspicious)
    return flags


def _time(row: Row) -> datetime:
    time: datetime = row["time"]
    return time.astimezone(UTC)


def _siblings(row: Row) -> tuple[date, str, str]:
    return _time(row).date(), row["product"], row["era"]


def _median_coverage(rows: Iterable[Row]) -> dict[tuple[date, str, str], float]:
    """Return the median covered fraction of every day, product and era.

    The median, because a few broken frames do not move it; and of the day, because networks grow,
    and an appended day must leave the samples of earlier ones as they are.
    """
    fractions = defaultdict(list)
    for row in rows:
        fractions[_siblings(row)].append(row["covered_fraction"])
    return {siblings: median(values) for siblings, values in fractions.items()}


def _at_ceiling(row: Row, rule: Ceiling) -> bool:
    rate = row["most_repeated_rate"]
    return row["most_repeated_count"] >= rule.pixels and any(
        abs(rate - ceiling) < _HALF_STEP_MM_H for ceiling in rule.rates_mm_h
    )


def _repeats(row: Row, rule: RepeatedValue) -> bool:
    count = row["most_repeated_count"]
    enough: bool = count >= rule.pixels and count >= rule.share * row["pixels_from_31"]
    return enough
