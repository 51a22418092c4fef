"""Rows of a table: what is evaluated, by name, trained from one seed or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from minkgen.errors import InputError, TrainingError
from minkgen.learn.training import BEST, training_budget
from minkgen.store.snapshot import Snapshot

__all__ = ["Named", "Rows", "load_named", "trained_seeds"]

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Named(Generic[Loaded]):
    """One row of the tables: a surrogate or a model, trained from one seed or several.

    Parameters
    ----------
    name, title : str
        As it is asked for, and as it is printed.
    seeds : dict
        What was loaded by seed, in evaluation mode; one with the key 0 where nothing is random.
    about : dict
        Where they come from, as plain values: runs and what they have spent, or settings.
    """

    name: str
    title: str
    seeds: dict[int, Loaded]
    about: dict[str, Any]

    @property
    def first(self) -> Loaded:
        """The one of the first seed, which figures show."""
        return next(iter(self.seeds.values()))


@dataclass(frozen=True)
class Rows(Generic[Loaded]):
    """All rows that a table may have.

    Parameters
    ----------
    what : str
        What a row is, in the singular.
    loaders : mapping
        From the name to what loads it, or returns None where it was not trained, in the table's
        order.
    command : str
        That trains them.
    """

    what: str
    loaders: Mapping[str, Callable[[], Named[Loaded] | None]]
    command: str


def load_named(
    rows: Rows[Loaded], names: Sequence[str], *, runs: Path, snapshot: Snapshot
) -> list[Named[Loaded]]:
    """Load some rows, or all that are there.

    Parameters
    ----------
    rows : Rows
    names : sequence of str
        Which; none for all that are there.
    runs : Path
        Where they are looked for.
    snapshot : Snapshot
        Which they were trained on.

    Returns
    -------
    list of Named
        In the order of the loaders.

    Raises
    ------
    InputError
        If a name is unknown.
    TrainingError
        If one that is asked for by name was not trained, or none is there at all.
    """
    unknown = [name for name in names if name not in rows.loaders]
    if unknown:
        raise InputError(
            f"there is no such {rows.what}",
            got=", ".join(unknown),
            expected="some of " + ", ".join(rows.loaders),
        )
    loaded = {name: load() for name, load in rows.loaders.items() if not names or name in names}
    missing = [name for name, each in loaded.items() if each is None]
    if missing and (names or len(missing) == len(loaded)):
        raise TrainingError(
            f"{', '.join(missing)}: not trained on the store's current snapshot",
            where=runs,
            expected=f"a run of the recipe's settings on {snapshot.name}",
            hint=f"run `{rows.command}` with the same recipe first",
        )
    return [each for each in loaded.values() if each is not None]


def trained_seeds(
    first_seed: int, run_of: Callable[[int], Path], load: Callable[[Path], Loaded]
) -> tuple[dict[int, Loaded], dict[str, Any]]:
    """Load the runs of a seed and of the seeds after it, as far as there are any.

    Parameters
    ----------
    first_seed : int
    run_of : callable
        From the seed to the run's folder.
    load : callable
        From the file of weights to what is evaluated.

    Returns
    -------
    seeds : dict
        What was loaded, by seed.
    about : dict
        What each run has spent, by seed.
    """
    seeds: dict[int, Loaded] = {}
    about: dict[str, Any] = {}
    seed = first_seed
    while (weights := run_of(seed) / BEST).exists():
        seeds[seed] = load(weights)
        about[str(seed)] = {"run": weights.parent.name, **training_budget(weights.parent)}
        seed += 1
    return seeds, about
