"""The scores of all models of a subject, from one pass over its tiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.superres.bootstrap import bootstrap_by_day
from minkgen.evaluate.superres.scores import field_scores, scalar_scores
from minkgen.evaluate.superres.settings import ScoreSetting
from minkgen.evaluate.superres.statistics import (
    FieldStatistics,
    field_statistics,
    merge_statistics,
)
from minkgen.evaluate.tables import ScoreRow, seeds_row
from minkgen.learn.superres.data import SceneBatch, scenes_in_order
from minkgen.learn.superres.model import SuperResolver
from minkgen.learn.superres.prediction import device_name, sample_fields
from minkgen.workflows.evaluate.exact import drizzle_zeroed
from minkgen.workflows.evaluate.superres.storms import Storms, StormsAsSeen
from minkgen.workflows.evaluate.superres.subject import SuperresSubject, day_of
from minkgen.workflows.progress import Progress

__all__ = ["ScoredModels", "score_models"]

# Fields of a call, members included, are 64 KiB each; noise is drawn anew for every batch, so that
# the members of a generative model depend on it.
BATCH_SIZE = 32
REPLICATES = 500

FloatArray = npt.NDArray[np.float32]


@dataclass
class _Tally:
    """What is known of one model of one seed."""

    model: SuperResolver
    members: int
    by_day: dict[str, FieldStatistics] = field(default_factory=dict)
    fields: int = 0
    seconds: float = 0.0

    def add(self, day: str, part: FieldStatistics) -> None:
        """Merge the statistics of some samples of one day."""
        known = self.by_day.get(day)
        self.by_day[day] = part if known is None else known.merge(part)

    def whole(self) -> FieldStatistics:
        """Return the statistics of all days."""
        return merge_statistics(self.by_day[day] for day in sorted(self.by_day))


Tallies = dict[str, dict[int, _Tally]]


@dataclass(frozen=True)
class ScoredModels:
    """The scores of a subject.

    Attributes
    ----------
    content : dict
        Everything that is repeated by another run, as plain values.
    throughput : dict
        By the model's name: seconds a field, steps, members, device.
    rows : list of ScoreRow
        Of the table.
    storms : Storms
        The chosen storms and what the models' first seeds make of them.
    """

    content: dict[str, Any]
    throughput: dict[str, Any]
    rows: list[ScoreRow]
    storms: Storms


def score_models(
    subject: SuperresSubject, chosen: dict[str, int], progress: Progress
) -> ScoredModels:
    """Score every model and seed on all tiles of the subject's split, dry ones included.

    Parameters
    ----------
    subject : SuperresSubject
    chosen : dict
        Rows of the storms that are kept, by the name of the case.
    progress : Progress
    """
    tallies: Tallies = {
        each.name: {
            seed: _Tally(model, each.about["members"]) for seed, model in each.seeds.items()
        }
        for each in subject.models
    }
    snapshot, split = subject.snapshot, subject.split
    times = np.asarray(snapshot.array(split, "time")[:])
    storms = StormsAsSeen(chosen)
    count = snapshot.rows(split)
    progress.stage("score super-resolution", -(-count // BATCH_SIZE))
    scored = 0
    for rows, batch in scenes_in_order(
        snapshot, subject.store, subject.settings, split, subject.functionals, BATCH_SIZE
    ):
        of_day = _by_day(times[rows])
        storms.see(rows, batch)
        _score_batch(subject, tallies, rows, batch, of_day, storms)
        scored += len(rows)
        progress.advance(1, f"{scored} tiles")
    return _scored(subject, tallies, storms.taken())


def _by_day(times: npt.NDArray[np.integer]) -> dict[str, npt.NDArray[np.intp]]:
    """Return the places of the samples of every day."""
    days = np.array([day_of(time) for time in times.tolist()])
    return {str(day): np.flatnonzero(days == day) for day in np.unique(days)}


def _score_batch(
    subject: SuperresSubject,
    tallies: Tallies,
    rows: npt.NDArray[np.intp],
    batch: SceneBatch,
    of_day: dict[str, npt.NDArray[np.intp]],
    storms: StormsAsSeen,
) -> None:
    truth, gamma = batch.target.cpu().numpy(), batch.gamma.cpu().numpy()
    setting, exact = subject.setting, subject.exact_gamma()
    for each in subject.models:
        for seed, tally in tallies[each.name].items():
            sampled = sample_fields(
                tally.model, batch.scene, members=tally.members, seed=(seed, int(rows[0]))
            )
            tally.seconds += sampled.seconds
            tally.fields += sampled.rain_rate.shape[0] * sampled.rain_rate.shape[1]
            members = drizzle_zeroed(sampled.rain_rate, setting.drizzle_mm_h)
            predicted = exact(members[0])
            for day, places in of_day.items():
                part = field_statistics(
                    setting, truth[places], members[:, places], gamma[places], predicted[places]
                )
                tally.add(day, part)
            if tally.model is each.first:
                storms.predicted(each.name, rows, members, predicted)


def _scored(subject: SuperresSubject, tallies: Tallies, storms: Storms) -> ScoredModels:
    setting = subject.setting
    content: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    throughput: dict[str, Any] = {}
    rows: list[ScoreRow] = []
    for each in subject.models:
        seeds = tallies[each.name]
        scores = {str(seed): field_scores(setting, tally.whole()) for seed, tally in seeds.items()}
        content[each.name] = scores
        rows.append(seeds_row(each.title, _alike([scalar_scores(seed) for seed in scores.values()])))
        first = next(iter(seeds.values()))
        intervals[each.name] = _intervals(setting, first)
        throughput[each.name] = _throughput(each.about, list(seeds.values()))
    listed = {"models": content, "bootstrap": intervals, "batch_size": BATCH_SIZE}
    return ScoredModels(listed, throughput, rows, storms)


def _alike(seeds: list[dict[str, float]]) -> list[dict[str, float | None]]:
    """Return the scores of all seeds with the same keys: None where a seed has none."""
    keys: dict[str, None] = {}
    for scores in seeds:
        keys |= dict.fromkeys(scores)
    return [{key: scores.get(key) for key in keys} for scores in seeds]


def _intervals(setting: ScoreSetting, tally: _Tally) -> dict[str, dict[str, Any]] | None:
    """Return how far the scores of the first seed may be off; None where there is one day."""
    if len(tally.by_day) < 2:
        return None
    return bootstrap_by_day(setting, tally.by_day, REPLICATES)


def _throughput(about: dict[str, Any], tallies: list[_Tally]) -> dict[str, Any]:
    fields = sum(tally.fields for tally in tallies)
    seconds = sum(tally.seconds for tally in tallies)
    return {
        "fields_per_second": fields / seconds if seconds > 0 else None,
        "steps": about["steps"],
        "members": about["members"],
        "device": device_name(tallies[0].model),
    }
