"""Train: a published snapshot to models of super-resolution, each in a run's folder."""

from __future__ import annotations

from pathlib import Path

from minkgen.errors import TrainingError
from minkgen.learn.checkpoints import run_identity
from minkgen.learn.data import wet_rows
from minkgen.learn.training import (
    BEST,
    GeometricSurrogate,
    TrustedEmulator,
    fit_superres,
    process_rank,
    training_finished,
    training_identity,
)
from minkgen.recipe import Recipe, SuperResolution, digest
from minkgen.recipe.superres import Diffusion, Flow, Geometry
from minkgen.store.files import write_json
from minkgen.store.layout import StorePaths
from minkgen.store.snapshot import Snapshot, open_snapshot
from minkgen.workflows.progress import Progress, Silent
from minkgen.workflows.train import Reporter, TrainResult, emulator_run

__all__ = ["superres_run", "train_superres", "train_superres_seeds"]


def superres_run(recipe: Recipe, snapshot: Snapshot, settings: SuperResolution) -> Path:
    """Return the folder of the run that trains a model of super-resolution on a snapshot.

    Parameters
    ----------
    recipe : Recipe
        Its store, and the settings of the surrogate that the geometric loss is of.
    snapshot : Snapshot
    settings : SuperResolution
        The recipe's section, or another one in its place.

    Returns
    -------
    Path
        The same snapshot and settings always have the same folder; sections that the model does
        not use, and the members it is judged by, make no other one.
    """
    settings = _deciding(settings)
    surrogate = _surrogate(recipe, snapshot, settings)
    identity = digest(training_identity(snapshot, settings, surrogate))
    return StorePaths(recipe.store.absolute()).runs / f"superres-{identity[:8]}"


def train_superres_seeds(
    recipe: Recipe, seeds: int, *, devices: int = 1, progress: Progress | None = None
) -> tuple[TrainResult, ...]:
    """Train the recipe's model with several seeds, one after the other.

    Parameters
    ----------
    recipe : Recipe
    seeds : int
        Runs with seed, seed + 1, ... of the recipe's section.
    devices, progress
        As for `train_superres`, which also says what is raised.

    Returns
    -------
    tuple of TrainResult
    """
    first = recipe.superres.seed
    recipes = [
        recipe.model_copy(update={"superres": recipe.superres.model_copy(update={"seed": seed})})
        for seed in range(first, first + seeds)
    ]
    return tuple(train_superres(each, devices=devices, progress=progress) for each in recipes)


def train_superres(
    recipe: Recipe, *, devices: int = 1, progress: Progress | None = None
) -> TrainResult:
    """Train the model of super-resolution that a recipe describes on the store's current snapshot.

    An interrupted run is taken up where its checkpoint was written, and a finished one is returned
    as it is: see `minkgen.workflows.train.train_emulator`.

    Parameters
    ----------
    recipe : Recipe
    devices : int, optional
        GPUs of this machine to share every batch; where there is no GPU, processes.
    progress : Progress, optional

    Returns
    -------
    TrainResult

    Raises
    ------
    StoreError
        If the store has no snapshot.
    EmptySplitError
        If the training or the validation split has no wet tile; nothing is written.
    InputError
        If the model cannot be built of these settings for these tiles.
    TrainingError
        If what it stands on (a flow's U-Net, the emulator of a loss) is not trained to the end;
        if the loss is not finite.
    TrainingStopped
        If a signal ended it.
    """
    snapshot = open_snapshot(recipe.store)
    for split in ("train", "validation"):
        wet_rows(snapshot, split)
    settings = _deciding(recipe.superres)
    surrogate = _surrogate(recipe, snapshot, settings)
    if isinstance(surrogate, TrustedEmulator):
        _require_finished(surrogate.weights.parent, "the emulator of the loss", "emulator RECIPE")
    mean = _mean(recipe, snapshot, settings) if settings.model == "flow" else None
    run = superres_run(recipe, snapshot, settings)
    rank = process_rank()
    if rank == 0 and not (run / "recipe.json").exists():
        write_json(run / "recipe.json", recipe.model_dump(mode="json"), readable=True)
    reporter = Reporter(f"train {settings.model}", "loss", progress or Silent())
    summary = fit_superres(
        snapshot,
        recipe.store,
        settings,
        run,
        surrogate=surrogate,
        mean=mean,
        progress=reporter,
        devices=devices,
    )
    reporter.close()
    return TrainResult(run, snapshot.name, summary, rank)


def _deciding(settings: SuperResolution) -> SuperResolution:
    """Return settings whose unused sections are as by default: they decide nothing."""
    unused: dict[str, object] = {"members": SuperResolution().members}
    if settings.minkowski == "none":
        unused["geometry"] = Geometry()
    if settings.model != "ddpm":
        unused["diffusion"] = Diffusion()
    if settings.model != "flow":
        unused["flow"] = Flow()
    return settings.model_copy(update=unused)


def _surrogate(
    recipe: Recipe, snapshot: Snapshot, settings: SuperResolution
) -> GeometricSurrogate | None:
    if settings.minkowski == "none":
        return None
    if settings.minkowski == "exact":
        return recipe.exact
    if settings.minkowski == "analytical":
        return recipe.analytical
    return TrustedEmulator(
        weights=emulator_run(recipe.store, snapshot, recipe.emulator) / BEST,
        run=digest(run_identity(snapshot, recipe.emulator)),
        least_weight=recipe.trust.least_weight,
    )


def _mean(recipe: Recipe, snapshot: Snapshot, flow: SuperResolution) -> Path:
    """Return the weights of the U-Net that was trained with the same settings as a flow."""
    settings = flow.model_copy(update={"model": "unet", "minkowski": "none"})
    run = superres_run(recipe, snapshot, settings)
    seed = f" --set superres.seed={flow.seed}"
    _require_finished(
        run, "the U-Net that the flow stands on", f"sr RECIPE --model unet --minkowski none{seed}"
    )
    return run / BEST


def _require_finished(run: Path, what: str, arguments: str) -> None:
    """Refuse to build on a training that is not there, or would go on."""
    if not training_finished(run):
        raise TrainingError(
            f"{what} is not trained to the end",
            where=run,
            hint=f"run `minkgen train {arguments}` first, with the same settings",
        )
