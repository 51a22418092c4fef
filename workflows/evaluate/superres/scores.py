"""The scores of all models of a subject: one pass over its tiles for each model and seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from minkgen.evaluate.superres.bootstrap import bootstrap_by_day
from minkgen.evaluate.superres.scores import field_scores, scalar_scores
from minkgen.evaluate.superres.settings import ScoreSetting
from minkgen.evaluate.tables import ScoreRow, seeds_row
from minkgen.learn.prediction import best_device
from minkgen.learn.superres.prediction import sampling_speed
from minkgen.recipe import LocalProcesses, Recipe
from minkgen.workflows.cluster import local_workers, open_client, run_tasks
from minkgen.workflows.evaluate.superres.models import NamedModel
from minkgen.workflows.evaluate.superres.spans import Span, Tally, score_span, tally_span
from minkgen.workflows.evaluate.superres.storms import Storms, StormsAsSeen
from minkgen.workflows.evaluate.superres.subject import SuperresSubject
from minkgen.workflows.progress import Progress

__all__ = ["ScoredModels", "score_models"]

# A field takes 64 KiB, members count each. Members of a generative model depend on how the split is
# cut into batches.
BATCH_SIZE = 32
# Of a task: about a second of a U-Net, and as little as can be of a sampler, which takes minutes.
BATCHES, BATCHES_OF_SAMPLERS = 8, 1
REPLICATES = 500


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
    recipe: Recipe, subject: SuperresSubject, chosen: dict[str, int], progress: Progress
) -> ScoredModels:
    """Score every model and seed on all tiles of the subject's split, dry ones included.

    On a GPU, where torch sees one, else on the recipe's cluster; in this process, where that is
    one process of this machine. Results are the same.

    Parameters
    ----------
    recipe : Recipe
    subject : SuperresSubject
    chosen : dict
        Rows of the storms that are kept, by the name of the case.
    progress : Progress
    """
    spans = [span for each in subject.models for span in _spans(recipe, subject, each, chosen)]
    progress.stage("score super-resolution", len(spans))
    tallies: dict[str, dict[int, Tally]] = {each.name: {} for each in subject.models}
    for span, tally in zip(spans, _tallies(recipe, subject, spans, progress), strict=True):
        of_model = tallies[span.model]
        known = of_model.get(span.seed)
        of_model[span.seed] = tally if known is None else known.merge(tally)
    storms = StormsAsSeen(chosen)
    content, intervals, throughput = {}, {}, {}
    rows: list[ScoreRow] = []
    for each in subject.models:
        scores = {
            str(seed): field_scores(subject.setting, tally.whole())
            for seed, tally in tallies[each.name].items()
        }
        first = next(iter(tallies[each.name].values()))
        storms = storms.merge(first.storms)
        content[each.name] = scores
        intervals[each.name] = _intervals(subject.setting, first)
        speed = sampling_speed(
            each.first.sampling_steps, first.hardware, first.fields, first.seconds
        )
        throughput[each.name] = asdict(speed)
        rows.append(seeds_row(each.title, _alike(list(map(scalar_scores, scores.values())))))
    listed = {"models": content, "bootstrap": intervals, "batch_size": BATCH_SIZE}
    return ScoredModels(listed, throughput, rows, storms.taken())


def _spans(
    recipe: Recipe, subject: SuperresSubject, model: NamedModel, chosen: dict[str, int]
) -> Iterator[Span]:
    """Yield the tasks of all seeds of a model; storms are kept of the first."""
    tiles = subject.snapshot.rows(subject.split)
    batches = BATCHES_OF_SAMPLERS if model.first.is_generative else BATCHES
    for seed, resolver in model.seeds.items():
        for first in range(0, tiles, batches * BATCH_SIZE):
            yield Span(
                recipe=recipe,
                snapshot=subject.snapshot.name,
                split=subject.split,
                model=model.name,
                seed=seed,
                first=first,
                last=min(first + batches * BATCH_SIZE, tiles),
                batch_size=BATCH_SIZE,
                chosen=chosen if resolver is model.first else {},
            )


def _tallies(
    recipe: Recipe, subject: SuperresSubject, spans: Sequence[Span], progress: Progress
) -> Iterator[Tally]:
    """Yield what is found of each span, in their order."""
    cluster = recipe.cluster
    is_one = isinstance(cluster, LocalProcesses) and local_workers(cluster) == 1
    if is_one or best_device().type == "cuda":
        for span in spans:
            yield tally_span(subject, span)
            progress.advance(1, f"{span.model}, seed {span.seed}")
        return
    with open_client(cluster) as client:
        yield from run_tasks(
            client,
            score_span,
            spans,
            progress,
            what="tiles could not be scored",
            note=lambda tally: f"{sum(tally.fields)} fields",
        )


def _alike(seeds: list[dict[str, float]]) -> list[dict[str, float | None]]:
    """Return the scores of all seeds with the same keys: None where a seed has none."""
    keys: dict[str, None] = {}
    for scores in seeds:
        keys |= dict.fromkeys(scores)
    return [{key: scores.get(key) for key in keys} for scores in seeds]


def _intervals(setting: ScoreSetting, tally: Tally) -> dict[str, dict[str, Any]] | None:
    """Return how far the scores of one seed may be off; None where there is one day."""
    if len(tally.by_day) < 2:
        return None
    return bootstrap_by_day(setting, tally.by_day, REPLICATES)
