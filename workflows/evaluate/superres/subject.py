"""What is evaluated: some models of super-resolution on one split of a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minkgen.evaluate.superres.settings import ScoreSetting
from minkgen.learn.data import wet_rows
from minkgen.recipe import Recipe, digest
from minkgen.recipe.superres import SuperResolution
from minkgen.store.layout import StorePaths
from minkgen.store.snapshot import open_snapshot
from minkgen.workflows.evaluate.subject import EvaluatedSplit
from minkgen.workflows.evaluate.superres.models import NamedModel, load_models

__all__ = ["SuperresSubject", "open_superres_subject"]

# What γ is compared in: the three of L_M, then the others of the paper and of isoperimetry.
FUNCTIONALS = ("area", "perimeter", "components", "holes", "perimeter_closed")


@dataclass(frozen=True)
class SuperresSubject(EvaluatedSplit):
    """Models of super-resolution on a split.

    Attributes
    ----------
    store : Path
        Which has the terrain.
    settings : SuperResolution
        The recipe's, of which upsampling and members matter here.
    models : list of NamedModel
    """

    store: Path
    settings: SuperResolution
    models: list[NamedModel]

    @property
    def setting(self) -> ScoreSetting:
        """What all chunks of the evaluation share."""
        definition = self.definition
        return ScoreSetting(
            pixel_km=definition.pixel_km,
            thresholds=tuple(self.snapshot.thresholds.tolist()),
            measure=tuple(self.snapshot.measure.tolist()),
            functionals=self.functionals,
            drizzle_mm_h=definition.drizzle_mm_h,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what every result says about itself, as plain values."""
        wet = np.asarray(self.snapshot.array(self.split, "wet")[:], bool)
        times = np.asarray(self.snapshot.array(self.split, "time")[:])
        return {
            **self.described(self.models),
            "upsampling": self.settings.upsampling,
            "tiles": {"wet": int(wet.sum()), "dry": int((~wet).sum())},
            "days": sorted({day_of(time) for time in np.unique(times)}),
        }


def day_of(minutes: int) -> str:
    """Return the day of a time in minutes since 1970.

    Examples
    --------
    >>> day_of(1440)
    '1970-01-02'
    """
    return str(np.datetime64(int(minutes), "m").astype("datetime64[D]"))


def open_superres_subject(recipe: Recipe, split: str, names: Sequence[str]) -> SuperresSubject:
    """Open what is to be evaluated.

    Parameters
    ----------
    recipe : Recipe
    split : {"test", "validation", "train"}
    names : sequence of str
        Of models; none for all that are there.

    Raises
    ------
    StoreError
        If the store has no snapshot, or the snapshot no such split.
    EmptySplitError
        If the split has no wet tile.
    InputError
        If a name is unknown.
    TrainingError
        If a model was not trained on this snapshot.
    """
    snapshot = open_snapshot(recipe.store)
    wet_rows(snapshot, split)
    models = load_models(recipe, snapshot, names)
    identity = {
        "snapshot": snapshot.hash,
        "split": split,
        "models": [each.name for each in models],
        "settings": recipe.superres.model_dump(mode="json"),
    }
    folder = StorePaths(recipe.store.absolute()).runs / f"superres-evaluation-{digest(identity)[:8]}"
    return SuperresSubject(
        snapshot, split, FUNCTIONALS, folder, recipe.store, recipe.superres, models
    )
