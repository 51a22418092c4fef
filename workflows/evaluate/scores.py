"""The scores of all surrogates of a subject, from one pass over its tiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.cells import STILL, movement, scale_cells
from minkgen.evaluate.classes import merge_classes, statistics_by_class, wet_classes, whole
from minkgen.evaluate.figures import choose_cases
from minkgen.evaluate.metrics import EmulatorScores, EmulatorStatistics, emulator_scores
from minkgen.evaluate.tables import ScoreRow, rate_values, score_values, seeds_row
from minkgen.learn.data import TileReader
from minkgen.learn.surrogate import Surrogate
from minkgen.workflows.evaluate.subject import Subject
from minkgen.workflows.evaluate.surrogates import predict_functionals
from minkgen.workflows.progress import Progress

__all__ = ["ScoredSubject", "score_subject"]

# Forward only, so that a batch may be larger than in training; 4 MiB of 128 x 128 pixels.
BATCH_SIZE = 64


@dataclass
class _Movements:
    """How many tiles had a cell to scale, and how many of their outputs did not move."""

    cells: int = 0
    still: int = 0

    def add(self, before: npt.NDArray[Any], after: npt.NDArray[Any]) -> None:
        if len(before):
            self.cells += len(before)
            self.still += int((movement(before, after) < STILL).sum())

    @property
    def share(self) -> float | None:
        return self.still / self.cells if self.cells else None


@dataclass
class _Tally:
    """What is known of one surrogate of one seed."""

    surrogate: Surrogate
    classes: dict[str, EmulatorStatistics] = field(default_factory=dict)
    movements: _Movements = field(default_factory=_Movements)


@dataclass(frozen=True)
class ScoredSubject:
    """The scores of a subject.

    Attributes
    ----------
    content : dict
        Everything, as plain values.
    rows : list of ScoreRow
        Of the table: the surrogates (titles), then the targets.
    cases : dict
        Rows of the split to show, by the name of the case.
    """

    content: dict[str, Any]
    rows: list[ScoreRow]
    cases: dict[str, int]


def score_subject(subject: Subject, progress: Progress) -> ScoredSubject:
    """Score every surrogate and seed on all wet tiles of the subject's split."""
    reader = TileReader(subject.snapshot, subject.split, subject.functionals)
    tallies = {
        each.name: {seed: _Tally(surrogate) for seed, surrogate in each.seeds.items()}
        for each in subject.surrogates
    }
    of_targets, medians = _Movements(), []
    exact = subject.exact_gamma()
    drizzle = subject.definition.drizzle_mm_h
    median = subject.median_threshold
    threshold = float(subject.snapshot.thresholds[median])
    progress.stage("score surrogates", -(-reader.samples // BATCH_SIZE))
    scored = 0
    for batch in reader.in_order(BATCH_SIZE):
        rain_rate, gamma = (tensor.numpy() for tensor in batch)
        classes = wet_classes(rain_rate, drizzle)
        scaled, found = scale_cells(rain_rate, threshold)
        scaled = scaled[found]
        for seeds in tallies.values():
            for tally in seeds.values():
                predicted = predict_functionals(tally.surrogate, rain_rate, subject.functionals)
                part = statistics_by_class(predicted, gamma, classes, subject.functionals)
                tally.classes = merge_classes(tally.classes, part)
                if len(scaled):
                    after = predict_functionals(tally.surrogate, scaled, subject.functionals)
                    tally.movements.add(predicted[found], after)
        if len(scaled):
            of_targets.add(gamma[found], exact(scaled))
        medians.append(gamma[:, :, median])
        scored += len(gamma)
        progress.advance(1, f"{scored} tiles")
    positions = choose_cases(
        components=np.concatenate(medians)[:, subject.functionals.index("components")],
        area=np.concatenate(medians)[:, subject.functionals.index("area")],
    )
    cases = {name: int(reader.rows[position]) for name, position in positions.items()}
    return _scored(subject, tallies, of_targets, cases, reader)


def _scored(
    subject: Subject,
    tallies: dict[str, dict[int, _Tally]],
    of_targets: _Movements,
    cases: dict[str, int],
    reader: TileReader,
) -> ScoredSubject:
    measure = subject.snapshot.measure
    content: dict[str, Any] = {}
    rows: list[ScoreRow] = []
    last: EmulatorScores | None = None
    for each in subject.surrogates:
        seeds, values = {}, []
        for seed, tally in tallies[each.name].items():
            last = emulator_scores(whole(tally.classes.values()), measure)
            unmoved = {"cells": tally.movements.cells, "share": tally.movements.share}
            values.append(score_values(last) | {"unmoved": tally.movements.share})
            seeds[str(seed)] = {
                **last.as_dict(),
                "unmoved": unmoved,
                "classes": {
                    name: emulator_scores(statistics, measure).as_dict()
                    for name, statistics in tally.classes.items()
                },
            }
        content[each.name] = seeds
        rows.append(seeds_row(each.title, values))
    if last is not None:
        rates = rate_values(last.target) | {"unmoved": of_targets.share}
        rows.append(ScoreRow("targets", rates))
    snapshot = subject.snapshot
    return ScoredSubject(
        {
            "tiles": {
                "wet": reader.samples,
                "dry": snapshot.rows(subject.split) - reader.samples,
                "with_a_cell": of_targets.cells,
            },
            "cases": cases,
            "surrogates": content,
        },
        rows,
        cases,
    )
