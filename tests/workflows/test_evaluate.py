"""Evaluate: the scores of a real run, against an independent reading of the same snapshot."""

from __future__ import annotations

import csv
import json
import re
import runpy
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from matplotlib.image import imread
from skimage.measure import label
from sklearn.metrics import mean_absolute_error, r2_score

import minkgen
from minkgen.errors import EmptySplitError, InputError, StoreError, TrainingError
from minkgen.evaluate.figures import choose_cases
from minkgen.evaluate.tables import columns_of
from minkgen.gamma.matrix import gamma_matrix
from minkgen.learn.checkpoints import load_emulator
from minkgen.learn.prediction import predict
from minkgen.recipe import Recipe
from minkgen.store.snapshot import open_snapshot
from minkgen.workflows.compute import compute
from minkgen.workflows.evaluate import (
    EvaluateResult,
    evaluate_emulator,
    evaluate_inversion,
    evaluate_mechanism,
)
from minkgen.workflows.evaluate import fidelity as fidelity_module
from minkgen.workflows.evaluate import inversion as inversion_module
from minkgen.workflows.evaluate import scores as scores_module
from minkgen.workflows.evaluate.scores import score_subject
from minkgen.workflows.evaluate.subject import open_subject
from minkgen.workflows.evaluate.surrogates import load_surrogates
from minkgen.workflows.progress import Silent
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
NETWORK = "lip-cnn-constrained"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def trained(
    ingested_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
    recipe_data_in: Callable[[Path], dict[str, Any]],
) -> Recipe:
    """Return a recipe whose emulator is trained from two seeds; its store is read-only."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(ingested_store, folder / "store")
    recipe = Recipe.model_validate({**recipe_data_in(folder), "emulator": SMALL})
    compute(recipe)
    for seed in (0, 1):
        train_emulator(with_seed(recipe, seed))
    return recipe


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    emulator = recipe.emulator.model_copy(update={"seed": seed})
    return recipe.model_copy(update={"emulator": emulator})


@pytest.fixture(scope="module", autouse=True)
def _few_tiles() -> Iterator[None]:
    """Take few tiles for gradients and inversion: the small recipe's are 128 x 128 pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fidelity_module, "FIDELITY_TILES", 2)
        patch.setattr(inversion_module, "INVERTED_TILES", 2)
        yield


@pytest.fixture(scope="module")
def result(trained: Recipe) -> EvaluateResult:
    """Return the evaluation of the test split."""
    return evaluate_emulator(trained, surrogates=[NETWORK])


def test_the_scores_equal_those_of_an_independent_reading(
    trained: Recipe, result: EvaluateResult
) -> None:
    features = minkgen.open_features(trained.store, "test")
    wet = features.isel(sample=np.flatnonzero(features["wet"].values))
    target = wet["gamma"].sel(functional=EMULATED).values
    content = result.content
    assert list(content["surrogates"][NETWORK]) == ["0", "1"]
    for seed, scores in content["surrogates"][NETWORK].items():
        run = content["about"][NETWORK]["seeds"][seed]["run"]
        emulator = load_emulator(
            trained.store / "runs" / run / "best.safetensors", open_snapshot(trained.store)
        )
        with torch.no_grad():
            predicted = emulator(torch.from_numpy(wet["rain_rate"].values)).numpy()
        assert scores["samples"] == len(target) == content["tiles"]["wet"]
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
    assert content["tiles"]["dry"] == features.sizes["sample"] - len(target)


def test_classes_of_wet_fraction_divide_the_tiles(trained: Recipe, result: EvaluateResult) -> None:
    features = minkgen.open_features(trained.store, "test")
    fraction = features["wet_fraction"].values[features["wet"].values]
    for scores in result.content["surrogates"][NETWORK].values():
        counts = {name: each["samples"] for name, each in scores["classes"].items()}
        assert sum(counts.values()) == result.content["tiles"]["wet"]
        assert counts["10-30 %"] == ((fraction > 0.1) & (fraction <= 0.3)).sum()


def test_one_scaled_cell_moves_the_targets(trained: Recipe, result: EvaluateResult) -> None:
    snapshot = open_snapshot(trained.store)
    features = minkgen.open_features(trained.store, "test")
    tiles = features["rain_rate"].values[features["wet"].values]
    threshold = snapshot.thresholds[len(snapshot.thresholds) // 2]
    with_cell = [tile for tile in tiles if tile.max() >= threshold]
    assert result.content["tiles"]["with_a_cell"] == len(with_cell)
    floors = snapshot.metadata["floors"]
    epsilons = (floors["components"]["epsilon"], floors["holes"]["epsilon"])
    still = 0
    for tile in with_cell:
        numbers = label(tile >= threshold, connectivity=2)
        scaled = np.where(numbers == numbers.flat[tile.argmax()], np.float32(1.5) * tile, tile)
        before, after = (
            gamma_matrix(
                field,
                snapshot.thresholds,
                pixel_km=2.0,
                min_persistence=epsilons,
                functionals=EMULATED,
            )
            for field in (tile, scaled)
        )
        still += bool((np.abs(after - before) < 0.01 * np.maximum(np.abs(before), 1.0)).all())
    targets = result.content["table"][-1]
    assert targets["name"] == "targets"
    assert targets["unmoved"] == pytest.approx(still / len(with_cell))


def test_everything_is_written_and_says_the_same(trained: Recipe, result: EvaluateResult) -> None:
    content, folder = result.content, result.folder
    assert folder.parent == trained.store / "runs"
    assert {path.name for path in folder.iterdir()} >= {
        "scores.json",
        "scores.csv",
        "scores.txt",
        "gamma_curves.png",
        "fidelity.json",
        "fidelity.png",
        "throughput.json",
    }
    assert json.loads((folder / "scores.json").read_text()) == content
    rows = list(csv.DictReader((folder / "scores.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["Lip-CNN, constrained", "targets"]
    listed = content["table"][0]
    seeds = [seed["r2"]["log1p"]["area"] for seed in content["surrogates"][NETWORK].values()]
    assert float(rows[0]["r2_log1p_area"]) == listed["r2_log1p_area"] == np.mean(seeds)
    assert listed["spread"]["r2_log1p_area"] == pytest.approx(np.std(seeds, ddof=1))
    assert set(listed) == {"name", "spread", *(column.key for column in columns_of(EMULATED))}
    text = (folder / "scores.txt").read_text()
    assert result.text in text
    snapshot = open_snapshot(trained.store)
    said = (
        snapshot.name,
        "test split",
        "2 epochs",
        snapshot.metadata["attribution"],
        "about a million tiles",
        "R2 components by threshold",
        "tiles/s",
    )
    for words in said:
        assert words in text
    assert content["snapshot"] == snapshot.name
    budget = content["about"][NETWORK]["seeds"]["1"]
    assert (budget["epochs"], budget["tiles"]) == (2, 64)
    assert "CPU" in budget["hardware"]
    throughput = json.loads((folder / "throughput.json").read_text())[NETWORK]
    assert throughput["threads"] == 1
    assert throughput["forward"] > throughput["forward_backward"] > 0
    for name in ("gamma_curves.png", "fidelity.png"):
        assert imread(folder / name).ndim == 3


def test_the_figure_shows_a_quiet_and_a_fragmented_wet_tile(
    trained: Recipe, result: EvaluateResult
) -> None:
    features = minkgen.open_features(trained.store, "test")
    counts = {}
    for name in ("quiet", "fragmented"):
        sample = features.isel(sample=result.content["cases"][name])
        assert bool(sample["wet"])
        median = sample["gamma"].isel(threshold=sample.sizes["threshold"] // 2)
        counts[name] = float(median.sel(functional="components"))
    assert counts["fragmented"] > counts["quiet"]


def test_fidelity_is_of_every_part_step_and_kind(result: EvaluateResult) -> None:
    fidelity = json.loads((result.folder / "fidelity.json").read_text())
    curves = fidelity["curves"][NETWORK]["1"]
    assert set(curves) == {"both", "smooth", "scaling"}
    for steps in curves.values():
        assert list(steps) == ["1", "3", "10"]
        for parts in steps.values():
            assert list(parts) == [*EMULATED, "all"]
    area = curves["scaling"]["10"]["area"]
    assert area["tiles"] == 2
    # More rain is more area, even to a network of two epochs.
    assert area["cosine"]["low"] > 0.0


def test_batches_do_not_change_the_scores(
    trained: Recipe, result: EvaluateResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(folder: Path) -> dict[str, bytes]:
        timed = {"throughput.json", "scores.txt"}
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in timed}

    files = written(result.folder)
    again = evaluate_emulator(trained, surrogates=[NETWORK])
    assert written(again.folder) == files
    monkeypatch.setattr(scores_module, "BATCH_SIZE", 17)
    other = score_subject(open_subject(trained, "test", [NETWORK]), Silent()).content
    for seed, scores in other["surrogates"][NETWORK].items():
        expected = result.content["surrogates"][NETWORK][seed]
        assert scores["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert scores["unmoved"] == expected["unmoved"]
    assert other["cases"] == result.content["cases"]


def test_inversion_leads_towards_the_target(trained: Recipe, result: EvaluateResult) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inversion_module, "STEPS", 12)
        inverted = evaluate_inversion(trained, surrogates=[NETWORK])
    assert inverted.folder == result.folder
    content = json.loads((inverted.folder / "inversion.json").read_text())
    assert content == inverted.content
    found = content["surrogates"][NETWORK]
    assert len(found["objective"]) == content["settings"]["steps"] == 12
    assert found["objective"][-1] < found["objective"][0]
    assert len(content["rows"]) == 2
    assert len(found["spectrum"]) == len(content["truth_spectrum"])
    assert found["rapsd"]["ratio"] > 0
    assert inverted.text in (inverted.folder / "inversion.txt").read_text()
    assert imread(inverted.figure).ndim == 3


def test_the_mechanism_holds_exact_and_foretold_responses(
    trained: Recipe, result: EvaluateResult
) -> None:
    mechanism = evaluate_mechanism(trained, surrogates=[NETWORK])
    assert mechanism.folder == result.folder
    content = json.loads((mechanism.folder / "mechanism.json").read_text())
    shape = (len(content["factors"]), 3, len(content["thresholds_mm_h"]))
    exact = np.array(content["exact"])
    assert exact.shape == np.array(content["surrogates"][NETWORK]["gamma"]).shape == shape
    shown = exact[:, :, content["shown_threshold"]]
    assert np.ptp(shown[:, 2]) == 1.0  # one component comes
    assert (np.diff(shown[:, 0]) >= 0).all()
    assert content["surrogates"][NETWORK]["response"]["area"] > 0
    assert 0 < content["surrogates"][NETWORK]["attribution_in_cell"] < 1
    assert mechanism.text in (mechanism.folder / "mechanism.txt").read_text()
    assert imread(mechanism.figure).ndim == 3


def test_the_page_of_results_is_made_of_the_files(
    trained: Recipe, result: EvaluateResult, tmp_path: Path
) -> None:
    mechanism = evaluate_mechanism(trained, surrogates=[NETWORK])
    recipe = tmp_path / "small.yaml"
    recipe.write_text("name: small\n")
    script = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "results.py"))
    page = script["write"]([(recipe, result.folder)], tmp_path).read_text()
    scores = result.content["table"][0]
    mean, spread = scores["r2_log1p_area"], scores["spread"]["r2_log1p_area"]
    assert f"| R2 area | {mean:.3f} ± {spread:.3f} | - |" in page
    response = mechanism.content["surrogates"][NETWORK]["response"]["area"]
    assert f"| response of area [% of the exact] | {100 * response:.1f} |" in page
    assert "about a million tiles" in page
    assert "name: small" in page
    assert result.content["attribution"] in page
    shown = re.findall(r"\]\((images/results-.*?png)\)", page)
    assert len(shown) >= 3
    for picture in shown:
        assert imread(tmp_path / picture).ndim == 3


def test_a_surrogate_with_temperatures_is_inverted_cooling_too_and_ends_as_it_was(
    trained: Recipe,
) -> None:
    subject = open_subject(trained, "test", ["exact"])
    plain, cooling = inversion_module._ways(subject)
    scale = cooling.surrogate.get_buffer("temperature_scale")
    seen = []
    for step in range(8):
        cooling.prepare(step, 8)
        seen.append(float(scale))
    assert seen[0] == pytest.approx(8.0)
    assert all(later < earlier for earlier, later in pairwise(seen[:7]))
    assert seen[6:] == [1.0, 1.0]
    plain.prepare(0, 8)
    assert float(scale) == 1.0


def test_fidelity_is_taken_at_every_temperature_and_ends_at_the_recipes(trained: Recipe) -> None:
    subject = open_subject(trained, "test", ["exact"])
    surrogate = subject.surrogates[0].first
    scales = [
        (name, float(surrogate.get_buffer("temperature_scale")))
        for name in fidelity_module._temperatures(surrogate)
    ]
    assert scales == [("0.3", pytest.approx(0.3)), ("1", 1.0), ("3", 3.0)]
    assert float(surrogate.get_buffer("temperature_scale")) == 1.0


def test_the_regression_is_fitted_once_and_the_exact_surrogate_is_exact(trained: Recipe) -> None:
    snapshot = open_snapshot(trained.store)
    exact, pcr = load_surrogates(trained, snapshot, ["pcr", "exact"])
    assert (exact.name, pcr.name) == ("exact", "pcr")
    (weights,) = (trained.store / "runs").glob("pcr-*/weights.safetensors")
    written = weights.stat().st_mtime_ns
    (again,) = load_surrogates(trained, snapshot, ["pcr"])
    assert weights.stat().st_mtime_ns == written
    features = minkgen.open_features(trained.store, "test")
    tiles = features["rain_rate"].values[:3]
    np.testing.assert_array_equal(predict(again.first, tiles), predict(pcr.first, tiles))
    target = features["gamma"].sel(functional=EMULATED).values[:3]
    np.testing.assert_allclose(predict(exact.first, tiles), target, rtol=1e-6)


def test_surrogates_that_are_not_there_are_named(trained: Recipe) -> None:
    snapshot = open_snapshot(trained.store)
    assert [each.name for each in load_surrogates(trained, snapshot)].count(NETWORK) == 1
    runs = sorted((trained.store / "runs").iterdir())
    with pytest.raises(TrainingError, match="not trained on the store's current snapshot"):
        evaluate_emulator(with_seed(trained, 5), surrogates=[NETWORK])
    with pytest.raises(InputError, match="no such surrogate"):
        evaluate_emulator(trained, surrogates=["lipcnn"])
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
    first = min(result.content["cases"].values())
    recipe = with_wet(trained, tmp_path, slice(0, first + 1))
    without = evaluate_emulator(recipe, surrogates=[NETWORK]).content
    features = minkgen.open_features(recipe.store, "test")
    wet = np.flatnonzero(features["wet"].values)
    assert without["tiles"]["wet"] == len(wet)
    assert without["tiles"]["dry"] == features.sizes["sample"] - len(wet)
    gamma = features["gamma"].isel(threshold=features.sizes["threshold"] // 2).values
    chosen = choose_cases(components=gamma[wet, 2], area=gamma[wet, 0])
    assert without["cases"] == {name: wet[position] for name, position in chosen.items()}


def test_a_split_that_is_dry_or_unknown_is_refused_before_any_work(
    trained: Recipe, tmp_path: Path
) -> None:
    recipe = with_wet(trained, tmp_path, slice(None))
    before = sorted((recipe.store / "runs").rglob("*"))
    with pytest.raises(EmptySplitError, match="the test split has no wet tile"):
        evaluate_emulator(recipe, surrogates=[NETWORK])
    with pytest.raises(StoreError, match="no such array"):
        evaluate_emulator(recipe, split="tests", surrogates=[NETWORK])
    assert sorted((recipe.store / "runs").rglob("*")) == before
