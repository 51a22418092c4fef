"""The surrogates that can be evaluated on a snapshot, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError
from minkgen.learn.analytical import AnalyticalGamma
from minkgen.learn.checkpoints import load_emulator, read_tensors, write_tensors
from minkgen.learn.exact import ExactGamma
from minkgen.learn.pcr import PcrDesign, PcrGamma, fit_pcr
from minkgen.learn.prediction import on_best_device, predict
from minkgen.learn.surrogate import GammaDefinition, Surrogate
from minkgen.recipe import Architecture, Recipe, digest
from minkgen.recipe.sections import Section
from minkgen.store.layout import StorePaths
from minkgen.store.snapshot import Snapshot
from minkgen.workflows.evaluate.named import Named, Rows, load_named, trained_seeds
from minkgen.workflows.train import emulator_run

__all__ = ["SURROGATES", "NamedSurrogate", "Tempered", "compared_functionals", "load_surrogates"]


@runtime_checkable
class Tempered(Protocol):
    """A surrogate whose temperatures can be scaled."""

    def temper(self, scale: float) -> None:
        """Set the temperatures to the recipe's, times a factor."""


NamedSurrogate = Named[Surrogate]


def channels_of(surrogate: Surrogate, functionals: Sequence[str]) -> list[int]:
    """Return the places of some functionals along F of a surrogate's output.

    Raises
    ------
    InputError
        If the surrogate does not give one of them.
    """
    missing = [name for name in functionals if name not in surrogate.functionals]
    if missing:
        raise InputError(
            "the surrogate does not give all functionals that are to be scored",
            got=", ".join(surrogate.functionals),
            expected=", ".join(functionals),
        )
    return [surrogate.functionals.index(name) for name in functionals]


def predict_functionals(
    surrogate: Surrogate, rain_rate: npt.NDArray[np.float32], functionals: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Return γ̂ of tiles for some functionals, shape (B, F, Q)."""
    return predict(surrogate, rain_rate)[:, channels_of(surrogate, functionals)]


def compared_functionals(recipe: Recipe) -> tuple[str, str, str]:
    """Return what is scored: area, the perimeter that the recipe emulates, and components."""
    return ("area", recipe.emulator.perimeter, "components")


def load_surrogates(
    recipe: Recipe, snapshot: Snapshot, names: Sequence[str] = ()
) -> list[NamedSurrogate]:
    """Return surrogates for a snapshot.

    Parameters
    ----------
    recipe : Recipe
        Its sections say which settings each surrogate has.
    snapshot : Snapshot
    names : sequence of str, optional
        Which, from `SURROGATES`; by default all that are there: the closed forms, and those that
        were trained on this snapshot with the recipe's settings.

    Returns
    -------
    list of NamedSurrogate
        In the order of `SURROGATES`.

    Raises
    ------
    InputError
        If a name is unknown.
    TrainingError
        If one that is asked for by name was not trained, or none is there at all.
    """
    rows = Rows(
        "surrogate",
        {name: partial(load, recipe, snapshot, name) for name, load in SURROGATES.items()},
        "minkgen train emulator",
    )
    return load_named(rows, names, runs=recipe.store / "runs", snapshot=snapshot)


def _exact(recipe: Recipe, snapshot: Snapshot, name: str) -> NamedSurrogate:
    surrogate = ExactGamma(
        GammaDefinition.of(snapshot), compared_functionals(recipe), recipe.exact
    ).eval()
    return _closed_form(name, "Exact", surrogate, recipe.exact)


def _analytical(recipe: Recipe, snapshot: Snapshot, name: str) -> NamedSurrogate:
    surrogate = AnalyticalGamma(
        GammaDefinition.of(snapshot), recipe.analytical, compared_functionals(recipe)
    ).eval()
    return _closed_form(name, "Analytical", surrogate, recipe.analytical)


def _pcr(recipe: Recipe, snapshot: Snapshot, name: str) -> NamedSurrogate:
    """Load the regression, or fit it first: one pass over the training tiles."""
    functionals = compared_functionals(recipe)
    settings = recipe.pcr.model_dump(mode="json")
    identity = {"snapshot": snapshot.hash, "functionals": functionals, "settings": settings}
    runs = StorePaths(recipe.store.absolute()).runs
    path = runs / f"pcr-{digest(identity)[:8]}" / "weights.safetensors"
    if not path.exists():
        fitted = fit_pcr(snapshot, recipe.pcr, functionals)
        write_tensors(path, fitted.state_dict(), {"design": fitted.design.as_dict()})
    stored = read_tensors(path)
    surrogate = PcrGamma(PcrDesign.from_dict(stored.content["design"]))
    surrogate.load_state_dict(stored.tensors)
    return _closed_form(name, "PCR", surrogate.eval(), recipe.pcr)


def _closed_form(name: str, title: str, surrogate: Surrogate, settings: Section) -> NamedSurrogate:
    about = {"settings": settings.model_dump(mode="json")}
    return NamedSurrogate(name, title, {0: surrogate}, about)


def _network(recipe: Recipe, snapshot: Snapshot, name: str) -> NamedSurrogate | None:
    """Load the networks of one architecture: those of the recipe's seed and the seeds after it."""
    settings = recipe.emulator.model_copy(update={"architecture": cast(Architecture, name)})

    def run_of(seed: int) -> Path:
        of_seed = settings.model_copy(update={"seed": seed})
        return emulator_run(recipe.store, snapshot, of_seed)

    def load(weights: Path) -> Surrogate:
        return on_best_device(load_emulator(weights, snapshot))

    seeds, runs = trained_seeds(settings.seed, run_of, load)
    if not seeds:
        return None
    return NamedSurrogate(name, _NETWORK_TITLES[name], seeds, {"seeds": runs})


_NETWORK_TITLES = {
    "cnn": "CNN",
    "cnn-constrained": "CNN, constrained",
    "lip-cnn": "Lip-CNN",
    "lip-cnn-constrained": "Lip-CNN, constrained",
}

# From the name to what loads it, or returns None where it was not trained, in the table's order.
SURROGATES: dict[str, Callable[[Recipe, Snapshot, str], NamedSurrogate | None]] = {
    "exact": _exact,
    "analytical": _analytical,
    "pcr": _pcr,
    **dict.fromkeys(_NETWORK_TITLES, _network),
}
