"""Sections of the climate: thresholds with what exceeds them, and lifetimes with their floors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.report.blocks import (
    Axis,
    Block,
    Curves,
    Facts,
    Mark,
    Row,
    Section,
    Series,
    Table,
)
from minkgen.gamma.floors import STEPS_PER_UNIT, Floor, LifetimeHistogram
from minkgen.gamma.thresholds import Thresholds, ValueHistogram
from minkgen.store.snapshot import Snapshot
from minkgen.workflows.report.contents import Contents

__all__ = ["persistence_section", "thresholds_section"]

BINS = 60

Ints = npt.NDArray[np.int64]


def thresholds_section(contents: Contents) -> Section | None:
    """Return the thresholds, the climatology they come from, and the normalisation."""
    if contents.snapshot is None:
        return None
    thresholds = Thresholds.from_dict(contents.metadata["thresholds"])
    wet = None
    if contents.climate is not None:
        wet = ValueHistogram.from_dict(contents.climate["histograms"]["wet_values"])
    blocks: list[Block] = [_table(contents, thresholds, wet)]
    if wet is not None and wet.total:
        blocks.append(_rates(thresholds, wet))
    blocks.append(_facts(contents.snapshot, thresholds, wet))
    return Section("thresholds", "Climatology and thresholds", tuple(blocks))


def _table(contents: Contents, thresholds: Thresholds, wet: ValueHistogram | None) -> Table:
    levels = [None] * len(thresholds.values) if thresholds.levels is None else thresholds.levels
    rates = {split: np.sort(samples.max_rate) for split, samples in contents.samples.items()}
    rows = []
    for threshold, level, weight in zip(
        thresholds.values, levels, thresholds.measure.tolist(), strict=True
    ):
        reached = [
            100.0 * (1.0 - np.searchsorted(values, threshold) / len(values))
            for values in rates.values()
        ]
        rows.append(
            Row(
                (
                    float(threshold),
                    None if level is None else float(level),
                    None if wet is None else 100.0 * _exceedance(wet, threshold),
                    float(weight),
                    *map(float, reached),
                )
            )
        )
    columns = (
        "threshold [mm/h]",
        "quantile",
        "wet pixels [%]",
        "weight",
        *(f"{split} samples [%]" for split in rates),
    )
    note = (
        "Wet pixels of the training tiles at or above the threshold; samples that reach it; weight "
        "in the integral over thresholds."
    ) + ("" if wet is not None else " The histogram of wet pixels is not kept in this store.")
    return Table("Thresholds", columns, tuple(rows), note)


def _exceedance(wet: ValueHistogram, threshold: np.float32) -> float:
    return float(wet.counts[wet.values >= threshold].sum() / wet.total)


def _rates(thresholds: Thresholds, wet: ValueHistogram) -> Curves:
    steps = np.rint(wet.values.astype(np.float64) * STEPS_PER_UNIT).astype(np.int64)
    steps = np.maximum(steps, 1)  # rates of other sources may be lower, and have no logarithm
    count = len(thresholds.values)
    marks = tuple(
        Mark(float(thresholds.values[place]), f"{name} threshold")
        for name, place in (("lowest", 0), ("middle", count // 2), ("highest", count - 1))
    )
    return Curves(
        "Rain rates of the training tiles",
        Axis("rain rate [mm/h]", "log"),
        Axis("wet pixels per 0.01 mm/h", "log"),
        (_steps("wet pixels", steps, wet.counts),),
        marks,
        f"{wet.total:,} wet pixels.",
    )


def _steps(name: str, steps: Ints, counts: Ints, group: int = 0) -> Series:
    """Return a histogram of multiples of 0.01 mm/h, in bins that widen, per multiple.

    Counts per multiple can be compared between bins of any width.
    """
    edges = np.unique(np.geomspace(steps[0], steps[-1] + 1, BINS + 1).round().astype(np.int64))
    found = np.add.reduceat(np.append(counts, 0), np.searchsorted(steps, edges[:-1])) * (
        np.diff(np.searchsorted(steps, edges)) > 0
    )
    density = found / np.diff(edges)
    # An integer multiple k stands for the rates that round to it.
    return Series(name, (edges - 0.5) / STEPS_PER_UNIT, density, group=group)


def _facts(snapshot: Snapshot, thresholds: Thresholds, wet: ValueHistogram | None) -> Facts:
    normalisation = snapshot.metadata["normalisation"]
    pairs = {
        "kind of thresholds": thresholds.kind,
        "levels on the rate of a lower one": ", ".join(map(str, thresholds.dropped)) or "none",
        "drizzle: rates below count as dry": f"{snapshot.drizzle:g} mm/h",
        "largest training rate without a flag": f"{normalisation['max_rate']:.2f} mm/h",
        "its log1p, the scale of network input": f"{normalisation['log1p_max']:.4f}",
        "taken from": snapshot.metadata.get("climate_from") or "the training split",
    }
    if wet is not None:
        pairs["wet pixels counted"] = f"{wet.total:,}"
    return Facts("Climate", tuple(pairs.items()))


def persistence_section(contents: Contents) -> Section | None:
    """Return the lifetimes of components and holes, and the floors below which none counts."""
    if contents.snapshot is None:
        return None
    floors = {name: Floor.from_dict(floor) for name, floor in contents.metadata["floors"].items()}
    histograms = {} if contents.climate is None else contents.climate["histograms"]
    lifetimes = {
        name: LifetimeHistogram.from_dict(histograms[f"{name}_lifetimes"])
        for name in floors
        if histograms
    }
    blocks: list[Block] = []
    if any(each.total for each in lifetimes.values()):
        blocks.append(_lifetimes(lifetimes, floors))
    blocks.append(_floors(contents, lifetimes, floors))
    return Section("persistence", "Persistence", tuple(blocks))


def _lifetimes(lifetimes: dict[str, LifetimeHistogram], floors: dict[str, Floor]) -> Curves:
    return Curves(
        "Lifetimes of components and holes",
        Axis("lifetime [mm/h]", "log"),
        Axis("pairs per 0.01 mm/h", "log"),
        tuple(
            _steps(name, each.values, each.counts, group)
            for group, (name, each) in enumerate(lifetimes.items())
            if each.total
        ),
        tuple(
            Mark(floor.epsilon, f"floor of {name}")
            for name, floor in floors.items()
            if floor.epsilon > 0
        ),
        "Of training tiles. A component or a hole counts in γ when it lives longer than its floor.",
    )


def _floors(
    contents: Contents, lifetimes: dict[str, LifetimeHistogram], floors: dict[str, Floor]
) -> Table:
    rows = []
    for name, floor in floors.items():
        each = lifetimes.get(name)
        above = None
        if each is not None and each.total:
            living = each.counts[each.values > floor.epsilon * STEPS_PER_UNIT].sum()
            above = float(100.0 * living / each.total)
        rows.append(
            Row(
                (
                    name,
                    floor.epsilon,
                    floor.method,
                    floor.percentile,
                    None if each is None else each.total,
                    above,
                )
            )
        )
    columns = ("kind", "floor [mm/h]", "method", "percentile", "pairs", "of them above it [%]")
    sample = contents.recipe["persistence"]["sample_tiles"]
    note = f"Lifetimes are those of at most {sample} wet training tiles."
    return Table("Persistence floors", columns, tuple(rows), note, digits=4)
