"""The section of γ: its curves over thresholds, by wet fraction and split."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.classes import WET_CLASSES, classes_of
from minkgen.evaluate.figures.style import axis_label
from minkgen.evaluate.report.blocks import Axis, Curves, Row, Section, Series, Table
from minkgen.store.snapshot import SPLITS
from minkgen.workflows.report.contents import Contents

__all__ = ["gamma_section"]

DRAWN = ("area", "perimeter", "components", "holes")

Floats = npt.NDArray[np.floating]
# A class of a split: its places, and γ of its samples (n, F, Q).
_Groups = dict[tuple[str, int], Floats]


def _median(values: Floats) -> Floats:
    return np.asarray(np.median(values, axis=0), np.float64)


def _log_mean(values: Floats) -> Floats:
    return np.asarray(np.expm1(np.log1p(values.astype(np.float64)).mean(axis=0)))


_SUMMARIES: dict[str, Callable[[Floats], Floats]] = {
    "median": _median,
    "mean over log1p": _log_mean,
}


def gamma_section(contents: Contents) -> Section | None:
    """Return the curves of the paper's four functionals, and how many samples they are of."""
    groups = _groups(contents)
    if not groups:
        return None
    thresholds = np.asarray(contents.metadata["thresholds"]["values"], np.float64)
    functionals = list(contents.metadata["functionals"])
    note = _note(contents)
    charts = [
        Curves(
            f"{name.capitalize()}: {summary} by wet fraction",
            Axis("threshold [mm/h]", "log"),
            Axis(axis_label(name), "log1p"),
            tuple(_series(groups, thresholds, functionals.index(name), of)),
            note=note,
        )
        for name in DRAWN
        for summary, of in _SUMMARIES.items()
    ]
    return Section("gamma", "γ over thresholds", (_table(contents), *charts))


def _groups(contents: Contents) -> _Groups:
    groups: _Groups = {}
    for split, subset in contents.gamma.items():
        wet_fraction = contents.samples[split].wet_fraction[subset.rows]
        classes = np.where(wet_fraction > 0, classes_of(wet_fraction), -1)
        for place in range(len(WET_CLASSES)):
            if (classes == place).any():
                groups[split, place] = subset.gamma[classes == place]
    return groups


def _series(
    groups: _Groups, thresholds: Floats, functional: int, of: Callable[[Floats], Floats]
) -> Iterator[Series]:
    for (split, place), gamma in groups.items():
        yield Series(
            f"{WET_CLASSES[place]}, {split} ({len(gamma)})",
            thresholds,
            of(gamma[:, functional]),
            split=split,
            group=place,
            style=SPLITS.index(split),
        )


def _note(contents: Contents) -> str:
    parts = [
        f"{len(subset.rows)} of {contents.samples[split].count} {split}"
        for split, subset in contents.gamma.items()
    ]
    return (
        f"Of {', '.join(parts)} samples, in whole chunks evenly spread over each split; dry ones "
        "are left out. In brackets, the number of samples of a line."
    )


def _table(contents: Contents) -> Table:
    rows = []
    for split, samples in contents.samples.items():
        wet_fraction = samples.wet_fraction[samples.wet]
        counts = np.bincount(classes_of(wet_fraction), minlength=len(WET_CLASSES))
        cells = (split, samples.count - len(wet_fraction), *counts.tolist())
        rows.append(Row(cells, split=split))
    columns = ("split", "dry", *WET_CLASSES)
    note = "All samples. A class holds its upper edge and no dry sample."
    return Table("Samples by wet fraction", columns, tuple(rows), note, digits=9)
