"""Train: a run's folder, what makes it another run, and going on after an interruption."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import zarr

from minkgen.errors import (
    EmptySplitError,
    NotFiniteError,
    StoreError,
    TrainingError,
    TrainingStopped,
)
from minkgen.learn.checkpoints import load_emulator, read_checkpoint, read_tensors
from minkgen.learn.superres.weights import load_superres
from minkgen.recipe import Recipe
from minkgen.recipe_file import load_recipe
from minkgen.store.snapshot import open_snapshot
from minkgen.workflows.compute import compute
from minkgen.workflows.superres import superres_run, train_superres, train_superres_seeds
from minkgen.workflows.train import emulator_run, train_emulator, train_seeds
from minkgen.workflows.tune import tune_emulator

SMALL = {
    "widths": [8],
    "latent": 8,
    "batch_size": 16,
    "epochs": 3,
    "learning_rate": 2e-3,
    "mixup": False,
    "max_tiles": 40,
}


class Steps:
    """Records stages and steps; raises after some of them, as a kill would."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stages: list[tuple[str, int]] = []
        self.done = 0
        self.notes: list[str] = []
        self.stop_after = stop_after

    def stage(self, name: str, total: int) -> None:
        self.stages.append((name, total))

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.done += steps
        self.notes.append(note)
        if self.done == self.stop_after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def computed_store(
    ingested_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
    recipe_data_in: Callable[[Path], dict[str, Any]],
) -> Path:
    """Return a store with a published snapshot; treat as read-only."""
    folder = tmp_path_factory.mktemp("computed")
    shutil.copytree(ingested_store, folder / "store")
    compute(Recipe.model_validate(recipe_data_in(folder)))
    return folder / "store"


@pytest.fixture
def recipe(make_recipe: Callable[..., Recipe], computed_store: Path) -> Recipe:
    """Return a recipe whose store has a snapshot and no run."""
    recipe = make_recipe(emulator=SMALL)
    recipe.store.mkdir()
    (recipe.store / "features").symlink_to(computed_store / "features")
    return recipe


def other(recipe: Recipe, **emulator: Any) -> Recipe:
    return recipe.model_copy(update={"emulator": recipe.emulator.model_copy(update=emulator)})


def test_a_run_holds_all_that_it_is_made_of(recipe: Recipe) -> None:
    steps = Steps()
    result = train_emulator(recipe, progress=steps)
    assert result.run.parent == recipe.store / "runs"
    assert {path.name for path in result.run.iterdir()} == {
        "best.safetensors",
        "last.pt",
        "metrics.jsonl",
        "recipe.json",
    }
    assert load_recipe(result.run / "recipe.json") == recipe
    snapshot = open_snapshot(recipe.store)
    assert result.snapshot == snapshot.name
    assert load_emulator(result.run / "best.safetensors", snapshot).thresholds.shape == (
        len(snapshot.thresholds),
    )
    assert len((result.run / "metrics.jsonl").read_text().splitlines()) == 3
    assert (result.summary.epochs, result.summary.samples) == (3, 40)
    assert steps.stages == [("train emulator", 3 * 3)]
    assert steps.done == 9
    assert steps.notes[-1].startswith("epoch 3/3, L_M ")


def test_an_interrupted_run_is_taken_up_and_a_finished_one_left_alone(recipe: Recipe) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_emulator(recipe, progress=Steps(stop_after=5))
    resumed = Steps()
    result = train_emulator(recipe, progress=resumed)
    assert result.summary.resumed_from == 1
    assert resumed.stages == [("train emulator", 6)]
    assert resumed.done == 6
    before = (result.run / "last.pt").read_bytes()
    nothing = Steps()
    again = train_emulator(recipe, progress=nothing)
    assert again.summary.resumed_from == again.summary.epochs == 3
    assert nothing.stages == []
    assert (result.run / "last.pt").read_bytes() == before


def test_an_early_stop_completes_the_progress(recipe: Recipe) -> None:
    steps = Steps()
    hasty = other(recipe, epochs=40, patience=1, learning_rate=0.5, max_tiles=16)
    result = train_emulator(hasty, progress=steps)
    assert result.summary.epochs < 40
    assert steps.stages == [("train emulator", 40)]
    assert steps.done == 40
    assert "stopped early" in steps.notes[-1]


def test_what_makes_another_run(recipe: Recipe) -> None:
    snapshot = open_snapshot(recipe.store)

    def run(recipe: Recipe) -> Path:
        return emulator_run(recipe.store, snapshot, recipe.emulator)

    assert run(recipe.model_copy(update={"seed": 99})) == run(recipe)
    assert len({run(changed) for changed in (recipe, other(recipe, seed=1))}) == 2
    elsewhere = replace(snapshot, metadata={**snapshot.metadata, "hash": "0" * 64})
    assert emulator_run(recipe.store, elsewhere, recipe.emulator) != run(recipe)


def dry_out(recipe: Recipe, split: str) -> None:
    """Replace the recipe's snapshot by one whose split has only dry tiles."""
    features = recipe.store / "features"
    copy = recipe.store / "copy"
    shutil.copytree(features.resolve(), copy, symlinks=True)
    features.unlink()
    copy.rename(features)
    for folder, _, names in os.walk(features):
        for name in names:
            if not Path(folder, name).is_symlink():
                Path(folder, name).chmod(0o644)
    group = zarr.open_group(open_snapshot(recipe.store).path, mode="r+")
    wet = group[f"{split}/wet"]
    assert isinstance(wet, zarr.Array)
    wet[:] = False


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_without_rain_stops_before_anything_is_written(recipe: Recipe, split: str) -> None:
    dry_out(recipe, split)
    with pytest.raises(EmptySplitError, match=f"the {split} split has no wet tile"):
        train_emulator(recipe)
    assert not (recipe.store / "runs").exists()


def test_a_store_without_a_snapshot_is_named(make_recipe: Callable[..., Recipe]) -> None:
    recipe = make_recipe(emulator=SMALL)
    with pytest.raises(StoreError, match="no snapshot"):
        train_emulator(recipe)
    assert not recipe.store.exists()


def test_the_identity_in_the_checkpoint_is_the_recipes(recipe: Recipe) -> None:
    result = train_emulator(other(recipe, epochs=1))
    identity = read_checkpoint(result.run / "last.pt")["identity"]
    assert identity["snapshot"] == open_snapshot(recipe.store).hash
    assert identity["settings"] == json.loads((result.run / "recipe.json").read_text())["emulator"]


def test_seeds_are_runs_of_their_own(recipe: Recipe) -> None:
    hasty = other(recipe, epochs=1, seed=7)
    results = train_seeds(hasty, 2)
    snapshot = open_snapshot(recipe.store)
    assert [result.run for result in results] == [
        emulator_run(recipe.store, snapshot, other(hasty, seed=seed).emulator) for seed in (7, 8)
    ]
    losses = [result.summary.best_loss for result in results]
    assert losses[0] != losses[1]


def test_a_signal_keeps_the_batches_that_are_done(recipe: Recipe) -> None:
    class Signal(Steps):
        def advance(self, steps: int = 1, note: str = "") -> None:
            super().advance(steps, note)
            if self.done == 4:
                os.kill(os.getpid(), signal.SIGUSR1)

    with pytest.raises(TrainingStopped, match="SIGUSR1"):
        train_emulator(recipe, progress=Signal())
    resumed = Steps()
    result = train_emulator(recipe, progress=resumed)
    assert result.summary.resumed_from == 1
    assert resumed.stages == [("train emulator", 4)]
    assert resumed.done == 4


def test_an_interrupted_search_finds_what_it_would_have_found(
    recipe: Recipe, tmp_path: Path
) -> None:
    hasty = other(recipe, epochs=1, max_tiles=16)
    whole = tune_emulator(hasty, 3)
    assert whole.trials == 3
    runs = {path.name for path in (recipe.store / "runs").iterdir() if path != whole.folder}
    assert len(runs) == 3
    # Interrupted in its second trial, the search goes on with that one.
    shutil.move(recipe.store / "runs", tmp_path / "whole")
    assert tune_emulator(hasty, 1).trials == 1
    with pytest.raises(KeyboardInterrupt):
        tune_emulator(hasty, 2, progress=Steps(stop_after=1))
    again = tune_emulator(hasty, 3)
    assert again == whole
    assert {path.name for path in (recipe.store / "runs").iterdir()} == runs | {whole.folder.name}
    found = json.loads((whole.folder / "best.json").read_text())
    best = train_emulator(other(hasty, **found["emulator"]))
    assert best.summary.resumed_from == 1, "the best trial's run is not the recipe's"
    assert best.summary.best_loss == found["best_loss"] == whole.best_loss
    assert best.run == whole.run


def test_a_search_without_any_finite_loss_says_so(recipe: Recipe) -> None:
    class Never:
        def stage(self, name: str, total: int) -> None:
            raise NotFiniteError("the loss is not finite")

        def advance(self, steps: int = 1, note: str = "") -> None: ...

    with pytest.raises(TrainingError, match="no trial"):
        tune_emulator(other(recipe, epochs=1, max_tiles=16), 2, progress=Never())


SMALL_SUPERRES = {"features": [8, 8], "batch_size": 20, "epochs": 1, "max_tiles": 40}
NO_TERRAIN = pytest.mark.filterwarnings("ignore:the store has no terrain")


def sr(recipe: Recipe, **superres: Any) -> Recipe:
    """Return a recipe whose section `superres` is small, with changes."""
    settings = type(recipe.superres).model_validate(SMALL_SUPERRES | superres)
    return recipe.model_copy(update={"superres": settings})


@NO_TERRAIN
def test_a_flow_needs_its_unet_and_says_how_to_train_it(recipe: Recipe) -> None:
    flow = sr(recipe, model="flow", seed=5, flow={"sampling_steps": 3})
    with pytest.raises(TrainingError, match="U-Net that the flow stands on") as caught:
        train_superres(flow)
    hint = "minkgen train sr RECIPE --model unet --minkowski none --set superres.seed=5"
    assert hint in str(caught.value.hint)
    assert not (recipe.store / "runs").exists()

    unet = sr(recipe, seed=5)
    with pytest.raises(KeyboardInterrupt):
        train_superres(sr(recipe, seed=5, epochs=2), progress=Steps(stop_after=3))
    with pytest.raises(TrainingError, match="not trained to the end"):
        train_superres(sr(recipe, model="flow", seed=5, epochs=2))
    steps = Steps()
    trained = train_superres(unet, progress=steps)
    assert steps.stages == [("train unet", 2)]
    assert steps.notes[-1].startswith("epoch 1/1, loss ")
    assert {path.name for path in trained.run.iterdir()} == {
        "best.safetensors",
        "last.pt",
        "metrics.jsonl",
        "recipe.json",
    }
    result = train_superres(flow)
    snapshot = open_snapshot(recipe.store)
    assert result.run == superres_run(flow, snapshot, flow.superres)
    model = load_superres(result.run / "best.safetensors", snapshot)
    assert model.is_generative
    assert model.sampling_steps == 3
    mean = read_tensors(trained.run / "best.safetensors").tensors["network.last.weight"]
    assert torch.equal(model.state_dict()["mean.network.last.weight"], mean)


@NO_TERRAIN
def test_the_loss_of_an_emulator_needs_it_trained_to_the_end(recipe: Recipe) -> None:
    geometry = {"warm_up_epochs": 0, "ramp_epochs": 1, "weight": 1e-3}
    with_loss = sr(recipe, minkowski="emulator", geometry=geometry)
    with pytest.raises(TrainingError, match="the emulator of the loss") as caught:
        train_superres(with_loss)
    assert "minkgen train emulator" in str(caught.value.hint)
    hasty = other(with_loss, epochs=1)
    emulator = train_emulator(hasty)
    assert emulator.run == emulator_run(recipe.store, open_snapshot(recipe.store), hasty.emulator)
    result = train_superres(hasty)
    best = read_tensors(result.run / "best.safetensors").content
    assert best["surrogate"]["least_weight"] == recipe.trust.least_weight
    (record,) = (result.run / "metrics.jsonl").read_text().splitlines()
    assert json.loads(record)["train"].keys() == {"own", "area", "perimeter", "components"}


def test_what_makes_another_run_of_superres(recipe: Recipe) -> None:
    snapshot = open_snapshot(recipe.store)

    def run(recipe: Recipe) -> Path:
        return superres_run(recipe, snapshot, recipe.superres)

    plain, exact = sr(recipe), sr(recipe, minkowski="exact")
    # What the model does not use decides nothing.
    assert run(sr(recipe, geometry={"weight": 1.0}, diffusion={"steps": 9}, members=3)) == run(
        plain
    )
    softer = recipe.exact.model_copy(update={"temperature_factor": 0.2})
    assert run(plain.model_copy(update={"exact": softer})) == run(plain)
    differing = [
        plain,
        exact,
        exact.model_copy(update={"exact": softer}),
        sr(recipe, minkowski="exact", geometry={"weight": 1.0}),
        sr(recipe, minkowski="analytical"),
        sr(recipe, minkowski="emulator"),
        other(sr(recipe, minkowski="emulator"), seed=9),
        sr(recipe, model="ddpm"),
        sr(recipe, model="ddpm", diffusion={"steps": 9}),
        sr(recipe, model="flow"),
        sr(recipe, seed=1),
    ]
    assert len({run(each) for each in differing}) == len(differing)


@NO_TERRAIN
def test_seeds_of_superres_are_runs_of_their_own_and_are_found_again(recipe: Recipe) -> None:
    results = train_superres_seeds(sr(recipe, seed=7), 2)
    snapshot = open_snapshot(recipe.store)
    assert [result.run for result in results] == [
        superres_run(recipe, snapshot, sr(recipe, seed=seed).superres) for seed in (7, 8)
    ]
    again = train_superres_seeds(sr(recipe, seed=7), 2)
    assert [each.summary.resumed_from for each in again] == [1, 1]
    assert again[0].summary.best_loss == results[0].summary.best_loss
