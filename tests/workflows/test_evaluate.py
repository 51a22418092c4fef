"""Evaluate: the scores of a real run, against an independent reading of the same snapshot."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from matplotlib.image import imread
from sklearn.metrics import mean_absolute_error, r2_score

import minkgen
from minkgen.errors import EmptySplitError, StoreError, TrainingError
from minkgen.evaluate.figures import choose_cases
from minkgen.learn.checkpoints import load_emulator
from minkgen.recipe import Recipe
from minkgen.store.snapshot import open_snapshot
from minkgen.workflows import evaluate as evaluate_module
from minkgen.workflows.compute import compute
from minkgen.workflows.evaluate import EvaluateResult, evaluate_emulator
from minkgen.workflows.train import train_emulator

SMALL = {
    "widths": [8],
    "latent": 8,
    "batch_size": 16,
    "epochs": 2,
    "learning_rate": 2e-3,
    "mixup": False,
    "max_tiles": 64,
}
EMULATED = ["area", "perimeter", "components"]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def trained(
    ingested_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
    recipe_data_in: Callable[[Path], dict[str, Any]],
) -> Recipe:
    """Return a recipe whose emulator is trained; treat its store as read-only."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(ingested_store, folder / "store")
    recipe = Recipe.model_validate({**recipe_data_in(folder), "emulator": SMALL})
    compute(recipe)
    train_emulator(recipe)
    return recipe


@pytest.fixture(scope="module")
def result(trained: Recipe) -> EvaluateResult:
    """Return the evaluation of the test split."""
    return evaluate_emulator(trained)


def test_the_scores_equal_those_of_an_independent_reading(
    trained: Recipe, result: EvaluateResult
) -> None:
    features = minkgen.open_features(trained.store, "test")
    wet = features.isel(sample=np.flatnonzero(features["wet"].values))
    target = wet["gamma"].sel(functional=EMULATED).values
    emulator = load_emulator(
        result.folder.parent / "best.safetensors", open_snapshot(trained.store)
    )
    with torch.no_grad():
        predicted = emulator(torch.from_numpy(wet["rain_rate"].values)).numpy()
    scores = result.scores["scores"]
    assert scores["samples"] == len(target) == result.scores["tiles"]["wet"]
    assert result.scores["tiles"]["dry"] == features.sizes["sample"] - len(target)
    for number, name in enumerate(EMULATED):
        truth, guess = target[:, number].astype(float), predicted[:, number].astype(float)
        varies = np.ptp(truth, axis=0) > 0
        logs = np.log1p(truth[:, varies]), np.log1p(guess[:, varies])
        assert scores["r2"]["log1p"][name] == pytest.approx(r2_score(*logs), rel=1e-6)
        assert scores["mae"][name] == pytest.approx(mean_absolute_error(truth, guess), rel=1e-6)
    error = np.abs(np.log1p(predicted.astype(float)) - np.log1p(target)).mean(axis=0)
    assert scores["loss"]["counting"] == pytest.approx(error.sum(), rel=1e-5)
    measure = wet["measure"].values
    assert scores["loss"]["measure"] == pytest.approx((error * measure).sum(), rel=1e-5)
    assert set(scores["violations"]["predicted"].values()) == {0.0}


def test_everything_is_written_and_says_the_same(trained: Recipe, result: EvaluateResult) -> None:
    assert result.folder == trained.store / "runs" / result.scores["run"] / "evaluation-test"
    assert {path.name for path in result.folder.iterdir()} == {
        "scores.json",
        "scores.csv",
        "scores.txt",
        "gamma_curves.png",
    }
    assert json.loads((result.folder / "scores.json").read_text()) == result.scores
    rows = list(csv.DictReader((result.folder / "scores.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["Lip-CNN, constrained", "targets"]
    listed = result.scores["table"][0]
    assert float(rows[0]["r2_log1p_area"]) == listed["r2_log1p_area"]
    assert listed["r2_log1p_area"] == result.scores["scores"]["r2"]["log1p"]["area"]
    text = (result.folder / "scores.txt").read_text()
    assert result.table in text
    snapshot = open_snapshot(trained.store)
    for said in (snapshot.name, "test split", "trained 2 epochs", snapshot.metadata["attribution"]):
        assert said in text
    assert result.scores["snapshot"] == snapshot.name
    budget = result.scores["budget"]
    assert (budget["epochs"], budget["tiles"]) == (2, 64)
    assert budget["seconds"] > 0
    assert "CPU" in budget["hardware"]
    assert len(result.scores["scores"]["r2_per_threshold"]["log1p"]["area"]) == len(
        result.scores["thresholds_mm_h"]
    )


def test_the_figure_shows_a_quiet_and_a_fragmented_wet_tile(
    trained: Recipe, result: EvaluateResult
) -> None:
    assert imread(result.figure).ndim == 3
    features = minkgen.open_features(trained.store, "test")
    counts = {}
    for name in ("quiet", "fragmented"):
        sample = features.isel(sample=result.scores["cases"][name])
        assert bool(sample["wet"])
        median = sample["gamma"].isel(threshold=sample.sizes["threshold"] // 2)
        counts[name] = float(median.sel(functional="components"))
    assert counts["fragmented"] > counts["quiet"]


def test_batches_do_not_change_the_scores(
    trained: Recipe, result: EvaluateResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path.name: path.read_bytes() for path in result.folder.iterdir()}
    again = evaluate_emulator(trained)
    assert {path.name: path.read_bytes() for path in again.folder.iterdir()} == files
    monkeypatch.setattr(evaluate_module, "BATCH_SIZE", 17)
    other = evaluate_emulator(trained, split="test").scores
    assert other["scores"]["loss"] == pytest.approx(result.scores["scores"]["loss"], rel=1e-5)
    assert other["cases"] == result.scores["cases"]


def test_an_emulator_that_was_not_trained_is_named(trained: Recipe) -> None:
    untrained = trained.model_copy(
        update={"emulator": trained.emulator.model_copy(update={"seed": 5})}
    )
    runs = sorted((trained.store / "runs").iterdir())
    with pytest.raises(TrainingError, match="not trained on the store's current snapshot"):
        evaluate_emulator(untrained)
    assert sorted((trained.store / "runs").iterdir()) == runs


def with_wet(trained: Recipe, folder: Path, dry_rows: slice) -> Recipe:
    """Return the recipe with a copy of its store in which some test tiles are marked dry."""
    shutil.copytree(trained.store, folder / "store", symlinks=True)
    recipe = trained.model_copy(update={"store": folder / "store"})
    column = open_snapshot(recipe.store).path / "test" / "wet"
    for path in column.rglob("*"):
        path.chmod(0o755)
    zarr.open_array(column, mode="r+")[dry_rows] = False
    return recipe


def test_dry_tiles_are_neither_scored_nor_shown(
    trained: Recipe, result: EvaluateResult, tmp_path: Path
) -> None:
    first = min(result.scores["cases"].values())
    recipe = with_wet(trained, tmp_path, slice(0, first + 1))
    without = evaluate_emulator(recipe).scores
    features = minkgen.open_features(recipe.store, "test")
    wet = np.flatnonzero(features["wet"].values)
    assert without["tiles"] == {"wet": len(wet), "dry": features.sizes["sample"] - len(wet)}
    gamma = features["gamma"].isel(threshold=features.sizes["threshold"] // 2).values
    chosen = choose_cases(components=gamma[wet, 2], area=gamma[wet, 0])
    assert without["cases"] == {name: wet[position] for name, position in chosen.items()}


def test_a_split_that_is_dry_or_unknown_is_refused_before_any_work(
    trained: Recipe, tmp_path: Path
) -> None:
    recipe = with_wet(trained, tmp_path, slice(None))
    (run,) = (recipe.store / "runs").iterdir()
    before = sorted(run.iterdir())
    with pytest.raises(EmptySplitError, match="the test split has no wet tile"):
        evaluate_emulator(recipe)
    with pytest.raises(StoreError, match="no such array"):
        evaluate_emulator(recipe, split="tests")
    assert sorted(run.iterdir()) == before
