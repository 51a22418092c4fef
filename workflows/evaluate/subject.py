"""What is evaluated: some rows on one split of a snapshot, and where results go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minkgen.gamma.functionals import UNITS
from minkgen.learn.data import wet_rows
from minkgen.learn.surrogate import GammaDefinition
from minkgen.recipe import Recipe, digest
from minkgen.store.layout import StorePaths
from minkgen.store.snapshot import Snapshot, open_snapshot
from minkgen.workflows.evaluate.exact import ExactGamma, exact_gamma
from minkgen.workflows.evaluate.named import Named
from minkgen.workflows.evaluate.surrogates import (
    NamedSurrogate,
    compared_functionals,
    load_surrogates,
)

__all__ = ["EvaluatedSplit", "Subject", "open_subject"]


@dataclass(frozen=True)
class EvaluatedSplit:
    """A split of a snapshot, and what is compared on it.

    Attributes
    ----------
    snapshot : Snapshot
    split : str
    functionals : tuple of str
        That are compared.
    folder : Path
        Of the results: the same snapshot, split, settings and rows have the same folder.
    """

    snapshot: Snapshot
    split: str
    functionals: tuple[str, ...]
    folder: Path

    @property
    def definition(self) -> GammaDefinition:
        """Which γ it is."""
        return GammaDefinition.of(self.snapshot)

    @property
    def median_threshold(self) -> int:
        """Place of the threshold in the middle."""
        return len(self.snapshot.thresholds) // 2

    def exact_gamma(self, functionals: Sequence[str] = ()) -> ExactGamma:
        """Return the function that gives the exact γ of any tiles, as that of the targets is."""
        return exact_gamma(self.definition, functionals or self.functionals)

    def described(self, rows: Sequence[Named[Any]]) -> dict[str, Any]:
        """Return what every result says about itself and its rows, as plain values."""
        return {
            "snapshot": self.snapshot.name,
            "hash": self.snapshot.hash,
            "split": self.split,
            "functionals": list(self.functionals),
            "units": {name: UNITS[name] for name in self.functionals},
            "thresholds_mm_h": self.snapshot.thresholds.tolist(),
            "measure": self.snapshot.measure.tolist(),
            "pixel_km": self.snapshot.pixel_km,
            "about": {each.name: {"title": each.title, **each.about} for each in rows},
            "attribution": self.snapshot.metadata["attribution"],
        }


@dataclass(frozen=True)
class Subject(EvaluatedSplit):
    """Surrogates on a split.

    Attributes
    ----------
    surrogates : list of NamedSurrogate
    """

    surrogates: list[NamedSurrogate]

    def as_dict(self) -> dict[str, Any]:
        """Return what every result says about itself, as plain values."""
        return self.described(self.surrogates)


def open_subject(recipe: Recipe, split: str, names: Sequence[str]) -> Subject:
    """Open what is to be evaluated.

    Parameters
    ----------
    recipe : Recipe
    split : {"test", "validation", "train"}
    names : sequence of str
        Of surrogates; none for all that are there.

    Raises
    ------
    StoreError
        If the store has no snapshot.
    EmptySplitError
        If the split has no wet tile.
    InputError
        If a name is unknown.
    TrainingError
        If a surrogate was not trained on this snapshot.
    """
    snapshot = open_snapshot(recipe.store)
    wet_rows(snapshot, split)
    surrogates = load_surrogates(recipe, snapshot, names)
    functionals = compared_functionals(recipe)
    identity = {
        "snapshot": snapshot.hash,
        "split": split,
        "surrogates": [each.name for each in surrogates],
        "settings": recipe.model_dump(
            mode="json", include={"emulator", "pcr", "analytical", "exact"}
        ),
    }
    folder = StorePaths(recipe.store.absolute()).runs / f"evaluation-{digest(identity)[:8]}"
    return Subject(snapshot, split, functionals, folder, surrogates)
