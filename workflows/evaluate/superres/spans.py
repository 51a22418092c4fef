"""A task of an evaluation of super-resolution: some tiles, by one model of one seed."""

from __future__ import annotations

from dataclasses import dataclass, field

from minkgen.evaluate.superres.statistics import (
    FieldStatistics,
    field_statistics,
    merge_statistics,
)
from minkgen.learn.superres.data import scenes_in_order
from minkgen.learn.superres.prediction import hardware, predict
from minkgen.recipe import Recipe
from minkgen.workflows.evaluate.exact import drizzle_zeroed
from minkgen.workflows.evaluate.superres.storms import StormsAsSeen
from minkgen.workflows.evaluate.superres.subject import (
    Days,
    SuperresSubject,
    open_superres_subject,
)

__all__ = ["Span", "Tally", "score_span", "tally_span"]


@dataclass(frozen=True)
class Span:
    """What one task scores. Travels to the workers.

    Attributes
    ----------
    recipe : Recipe
    snapshot : str
        Its name: `current` may move on while others work.
    split, model : str
    seed : int
    first, last : int
        Tiles of the split, from the first to before the last; the first is the first of a batch.
    batch_size : int
    chosen : dict
        Rows of the storms to keep, by the name of the case.
    """

    recipe: Recipe
    snapshot: str
    split: str
    model: str
    seed: int
    first: int
    last: int
    batch_size: int
    chosen: dict[str, int]

    def __str__(self) -> str:
        return f"tiles {self.first} to {self.last - 1} by {self.model}, seed {self.seed}"


@dataclass
class Tally:
    """What is known of one model of one seed.

    Attributes
    ----------
    storms : StormsAsSeen
        The chosen ones that passed by.
    by_day : dict of str to FieldStatistics
    fields : list of int
        Members times samples of every batch.
    seconds : list of float
        That they took.
    hardware : tuple
        Threads and device.
    """

    storms: StormsAsSeen
    by_day: dict[str, FieldStatistics] = field(default_factory=dict)
    fields: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    hardware: tuple[int, str] = field(default_factory=hardware)

    def add(self, day: str, part: FieldStatistics) -> None:
        """Merge the statistics of some samples of one day."""
        known = self.by_day.get(day)
        self.by_day[day] = part if known is None else known.merge(part)

    def merge(self, other: Tally) -> Tally:
        """Return what both have found; the other one's tiles come later."""
        merged = Tally(
            self.storms.merge(other.storms),
            dict(self.by_day),
            self.fields + other.fields,
            self.seconds + other.seconds,
            self.hardware,
        )
        for day, part in other.by_day.items():
            merged.add(day, part)
        return merged

    def whole(self) -> FieldStatistics:
        """Return the statistics of all days."""
        return merge_statistics(self.by_day[day] for day in sorted(self.by_day))


def score_span(span: Span) -> Tally:
    """Score some tiles in a process that knows nothing yet."""
    subject = open_superres_subject(span.recipe, span.split, [span.model], snapshot=span.snapshot)
    return tally_span(subject, span)


def tally_span(subject: SuperresSubject, span: Span) -> Tally:
    """Score some tiles.

    Parameters
    ----------
    subject : SuperresSubject
        With the span's model among others.
    span : Span
    """
    (model,) = (each.seeds[span.seed] for each in subject.models if each.name == span.model)
    tally = Tally(StormsAsSeen(span.chosen))
    setting, exact = subject.setting, subject.exact_gamma()
    days = Days(subject.snapshot, subject.split)
    scenes = scenes_in_order(
        subject.snapshot,
        subject.store,
        subject.settings,
        subject.split,
        subject.functionals,
        span.batch_size,
        first=span.first,
        last=span.last,
    )
    for made in predict(model, scenes, members=subject.settings.members, seed=span.seed):
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
        tally.storms.keep(span.model, made, members, predicted)
    return tally
