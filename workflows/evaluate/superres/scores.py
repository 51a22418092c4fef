"""The scores of all models of a subject: one pass over its tiles for each model and seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
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
from minkgen.learn.superres.data import scenes_in_order
from minkgen.learn.superres.model import SuperResolver
from minkgen.learn.superres.prediction import Prediction, predict, sampling_speed
from minkgen.workflows.evaluate.exact import drizzle_zeroed
from minkgen.workflows.evaluate.superres.storms import Storms, StormsAsSeen
from minkgen.workflows.evaluate.superres.subject import Days, SuperresSubject
from minkgen.workflows.progress import Progress

__all__ = ["ScoredModels", "score_models"]

# A field takes 64 KiB, members count each. Members of a generative model depend on how the split is
# cut into batches.
BATCH_SIZE = 32
REPLICATES = 500

FloatArray = npt.NDArray[np.float32]
# Given a prediction, its members with drizzle zeroed, and γ of the first of them.
Keeper = Callable[[Prediction, FloatArray, FloatArray], None]


@dataclass
class _Tally:
    """What is known of one model of one seed."""

    by_day: dict[str, FieldStatistics] = field(default_factory=dict)
    fields: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, day: str, part: FieldStatistics) -> None:
        """Merge the statistics of some samples of one day."""
        known = self.by_day.get(day)
        self.by_day[day] = part if known is None else known.merge(part)

    def whole(self) -> FieldStatistics:
        """Return the statistics of all days."""
        return merge_statistics(self.by_day[day] for day in sorted(self.by_day))


@dataclass(frozen=True)
class ScoredModels:
    """The scores of a subject.

    Attributes
    ----------
    content : dict
        Everything that another run repeats, as plain values: `models`, the scores by name and seed;
        `bootstrap` by name, of the first seed, None where there is one day; `batch_size`.
    throughput : dict
        By the model's name, of its first seed.
    rows : list of ScoreRow
        Of the table; keys are the paths of `scalar_scores`.
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
    storms = StormsAsSeen(chosen)
    days = Days(subject.snapshot, subject.split)
    batches = -(-subject.snapshot.rows(subject.split) // BATCH_SIZE)
    passes = sum(len(each.seeds) for each in subject.models)
    progress.stage("score super-resolution", passes * batches)
    content, intervals, throughput = {}, {}, {}
    rows: list[ScoreRow] = []
    for each in subject.models:
        tallies = {}
        for seed, model in each.seeds.items():
            keep = partial(storms.keep, each.name) if model is each.first else None
            progress.advance(0, f"{each.title}, seed {seed}")
            tallies[seed] = _tally(subject, model, seed, days, keep, progress)
        scores = {
            str(seed): field_scores(subject.setting, tally.whole())
            for seed, tally in tallies.items()
        }
        first = next(iter(tallies.values()))
        content[each.name] = scores
        intervals[each.name] = _intervals(subject.setting, first)
        throughput[each.name] = asdict(sampling_speed(each.first, first.fields, first.seconds))
        rows.append(seeds_row(each.title, _alike(list(map(scalar_scores, scores.values())))))
    listed = {"models": content, "bootstrap": intervals, "batch_size": BATCH_SIZE}
    return ScoredModels(listed, throughput, rows, storms.taken())


def _tally(
    subject: SuperresSubject,
    model: SuperResolver,
    seed: int,
    days: Days,
    keep: Keeper | None,
    progress: Progress,
) -> _Tally:
    """Pass once over the split with one model, and keep what it makes of the chosen storms."""
    tally = _Tally()
    setting, exact = subject.setting, subject.exact_gamma()
    scenes = scenes_in_order(
        subject.snapshot,
        subject.store,
        subject.settings,
        subject.split,
        subject.functionals,
        BATCH_SIZE,
    )
    for made in predict(model, scenes, members=subject.settings.members, seed=seed):
        truth, gamma = made.batch.target.numpy(), made.batch.gamma.numpy()
        members = drizzle_zeroed(made.rain_rate, setting.drizzle_mm_h)
        predicted = exact(members[0])
        for day, places in days.of(made.rows).items():
            part = field_statistics(
                setting, truth[places], members[:, places], gamma[places], predicted[places]
            )
            tally.add(day, part)
        tally.fields.append(members.shape[0] * members.shape[1])
        tally.seconds.append(made.seconds)
        if keep is not None:
            keep(made, members, predicted)
        progress.advance(1)
    return tally


def _alike(seeds: list[dict[str, float]]) -> list[dict[str, float | None]]:
    """Return the scores of all seeds with the same keys: None where a seed has none."""
    keys: dict[str, None] = {}
    for scores in seeds:
        keys |= dict.fromkeys(scores)
    return [{key: scores.get(key) for key in keys} for scores in seeds]


def _intervals(setting: ScoreSetting, tally: _Tally) -> dict[str, dict[str, Any]] | None:
    """Return how far the scores of one seed may be off; None where there is one day."""
    if len(tally.by_day) < 2:
        return None
    return bootstrap_by_day(setting, tally.by_day, REPLICATES)
