"""What is evaluated: some models of super-resolution on one split of a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.superres.settings import ScoreSetting
from minkgen.learn.data import wet_rows
from minkgen.recipe import Recipe, digest
from minkgen.recipe.superres import SuperResolution
from minkgen.store.layout import StorePaths
from minkgen.store.snapshot import Snapshot, open_snapshot
from minkgen.workflows.evaluate.subject import EvaluatedSplit
from minkgen.workflows.evaluate.superres.models import NamedModel, load_models

__all__ = ["Days", "SuperresSubject", "open_superres_subject"]

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
        return {
            **self.described(self.models),
            "upsampling": self.settings.upsampling,
            "tiles": {"wet": int(wet.sum()), "dry": int((~wet).sum())},
            "days": Days(self.snapshot, self.split).all,
            "members": self.settings.members,
        }


class Days:
    """Days (UTC) of the rows of a split.

    Parameters
    ----------
    snapshot : Snapshot
    split : {"test", "validation", "train"}

    Attributes
    ----------
    all : list of str
        In order.
    """

    def __init__(self, snapshot: Snapshot, split: str) -> None:
        minutes = np.asarray(snapshot.array(split, "time")[:], np.int64)
        days = minutes.astype("datetime64[m]").astype("datetime64[D]")
        known, self._of_row = np.unique(days, return_inverse=True)
        self.all: list[str] = known.astype(str).tolist()

    def of(self, rows: npt.NDArray[np.intp]) -> dict[str, npt.NDArray[np.intp]]:
        """Return where in `rows` the samples of each day stand."""
        days = self._of_row[rows]
        return {self.all[day]: np.flatnonzero(days == day) for day in np.unique(days).tolist()}


def open_superres_subject(
    recipe: Recipe, split: str, names: Sequence[str], *, snapshot: str = "current"
) -> SuperresSubject:
    """Open what is to be evaluated.

    Parameters
    ----------
    recipe : Recipe
    split : {"test", "validation", "train"}
    names : sequence of str
        Of models; none for all that are there.
    snapshot : str, optional

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
    opened = open_snapshot(recipe.store, snapshot)
    wet_rows(opened, split)
    models = load_models(recipe, opened, names)
    identity = {
        "snapshot": opened.hash,
        "split": split,
        "models": [each.name for each in models],
        "settings": recipe.superres.model_dump(mode="json"),
    }
    folder = (
        StorePaths(recipe.store.absolute()).runs / f"superres-evaluation-{digest(identity)[:8]}"
    )
    return SuperresSubject(
        opened, split, FUNCTIONALS, folder, recipe.store, recipe.superres, models
    )
