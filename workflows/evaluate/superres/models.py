"""The models of super-resolution that can be evaluated on a snapshot, by name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import get_args

from minkgen.learn.superres.interpolation import Interpolation
from minkgen.learn.superres.model import SuperResolver
from minkgen.learn.superres.weights import load_superres
from minkgen.recipe import Recipe
from minkgen.recipe.superres import GeometricLoss, SuperResolverName
from minkgen.store.snapshot import Snapshot
from minkgen.workflows.evaluate.named import Named, Rows, load_named, trained_seeds
from minkgen.workflows.superres import superres_run

__all__ = ["INTERPOLATION", "SUPER_RESOLVERS", "NamedModel", "load_models"]

NamedModel = Named[SuperResolver]

INTERPOLATION = "interpolation"
_TITLES = {"unet": "U-Net", "ddpm": "DDIM", "flow": "Flow"}
# As the paper's table has them; the exact loss, which it has not, comes last.
_LOSSES: tuple[GeometricLoss, ...] = ("none", "analytical", "emulator", "exact")


def _trained_models() -> dict[str, tuple[SuperResolverName, GeometricLoss]]:
    return {
        model if loss == "none" else f"{model}-{loss}": (model, loss)
        for model in get_args(SuperResolverName)
        for loss in _LOSSES
    }


_TRAINED = _trained_models()
# In the table's order.
SUPER_RESOLVERS = (INTERPOLATION, *_TRAINED)


def load_models(recipe: Recipe, snapshot: Snapshot, names: Sequence[str] = ()) -> list[NamedModel]:
    """Return models of super-resolution for a snapshot.

    Parameters
    ----------
    recipe : Recipe
        Its section `superres` says with which settings they were trained; model and geometric loss
        are those of each name.
    snapshot : Snapshot
    names : sequence of str, optional
        Which, from `SUPER_RESOLVERS`; by default all that are there: the interpolation, and those
        that were trained on this snapshot, of the recipe's seed and the seeds after it.

    Returns
    -------
    list of NamedModel
        In the order of `SUPER_RESOLVERS`.

    Raises
    ------
    InputError
        If a name is unknown.
    TrainingError
        If one that is asked for by name was not trained.
    """
    loaders = {INTERPOLATION: partial(_interpolation, recipe, snapshot)} | {
        name: partial(_trained, recipe, snapshot, name) for name in _TRAINED
    }
    rows = Rows("model of super-resolution", loaders, "minkgen train sr")
    return load_named(rows, names, runs=recipe.store / "runs", snapshot=snapshot)


def _interpolation(recipe: Recipe, snapshot: Snapshot) -> NamedModel | None:
    upsampling = recipe.superres.upsampling
    model = Interpolation(snapshot.log_max).eval()
    about = {"settings": {"upsampling": upsampling}}
    return Named(INTERPOLATION, upsampling.capitalize(), {0: model}, about)


def _trained(recipe: Recipe, snapshot: Snapshot, name: str) -> NamedModel | None:
    """Load the runs of one model: those of the recipe's seed and the seeds after it."""
    model, loss = _TRAINED[name]
    settings = recipe.superres.model_copy(update={"model": model, "minkowski": loss})

    def run_of(seed: int) -> Path:
        of_seed = settings.model_copy(update={"seed": seed})
        return superres_run(recipe, snapshot, of_seed)

    seeds, runs = trained_seeds(settings.seed, run_of, partial(load_superres, snapshot=snapshot))
    if not seeds:
        return None
    title = _TITLES[model] if loss == "none" else f"{_TITLES[model]} + {loss}"
    return Named(name, title, seeds, {"seeds": runs})
