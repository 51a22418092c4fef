"""Evaluate super-resolution: the scores of real runs, against an independent reading."""

from __future__ import annotations

import csv
import json
import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import zarr
from matplotlib.image import imread

import minkgen
from minkgen.errors import InputError, StoreError, TrainingError
from minkgen.evaluate.results.superres import superres_headline, superres_tables
from minkgen.evaluate.results.surrogates import run_lines
from minkgen.gamma.matrix import gamma_matrix
from minkgen.recipe import Recipe
from minkgen.store.snapshot import open_snapshot
from minkgen.tiles.coarsening import coarsen, refine
from minkgen.workflows.evaluate import EvaluateResult, evaluate_superres
from minkgen.workflows.evaluate.superres import redraw_superres
from minkgen.workflows.evaluate.superres import scores as scores_module
from minkgen.workflows.evaluate.superres import spans as spans_module
from minkgen.workflows.evaluate.superres.scores import score_models
from minkgen.workflows.evaluate.superres.storms import chosen_rows, read_storms
from minkgen.workflows.evaluate.superres.subject import Days, open_superres_subject
from minkgen.workflows.progress import Silent
from minkgen.workflows.superres import train_superres

pytestmark = pytest.mark.filterwarnings("ignore:the store has no terrain:UserWarning")

SMALL = {
    "features": [8, 16],
    "batch_size": 16,
    "epochs": 1,
    "max_tiles": 16,
    "members": 2,
    "diffusion": {"steps": 10, "sampling_steps": 2},
}
ROWS = ["interpolation", "unet", "ddpm"]
TITLES = ["Bicubic", "U-Net", "DDIM"]
FloatArray = npt.NDArray[np.float32]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def trained(
    computed_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
    recipe_data_in: Callable[[Path], dict[str, Any]],
) -> Recipe:
    """Return a recipe with runs of two models, one of them from two seeds."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(computed_store, folder / "store", symlinks=True)
    recipe = Recipe.model_validate(
        {**recipe_data_in(folder), "cluster": {"workers": 1}, "superres": SMALL}
    )
    dry_up(open_snapshot(recipe.store).path / "test", rows=slice(3, 5))
    for changes in ({}, {"seed": 1}, {"model": "ddpm"}):
        superres = recipe.superres.model_copy(update=changes)
        train_superres(recipe.model_copy(update={"superres": superres}))
    return recipe


def dry_up(split: Path, rows: slice) -> None:
    """Make some tiles of a split dry: this store's are all wet."""
    for name in ("wet", "rain_rate", "gamma"):
        for path in (split / name).rglob("*"):
            path.chmod(0o755)
        zarr.open_array(split / name, mode="r+")[rows] = 0


@pytest.fixture(scope="module")
def result(trained: Recipe) -> EvaluateResult:
    """Return the evaluation of the test split."""
    return evaluate_superres(trained, models=ROWS)


@pytest.fixture(scope="module")
def truth(trained: Recipe) -> FloatArray:
    """Return all tiles of the test split, dry ones too."""
    rain_rate: FloatArray = minkgen.open_features(trained.store, "test")["rain_rate"].values
    return np.nan_to_num(rain_rate, nan=0.0)


def test_the_scores_equal_those_of_an_independent_reading(
    trained: Recipe, result: EvaluateResult, truth: FloatArray
) -> None:
    features = minkgen.open_features(trained.store, "test")
    snapshot = open_snapshot(trained.store)
    low = refine(coarsen(truth, 2.0), truth.shape[1:], 2.0).astype(np.float32)
    low[low < np.float32(0.1)] = 0.0
    scores = result.content["models"]["interpolation"]["0"]
    assert scores["samples"] == len(truth)
    assert scores["mae"] == pytest.approx(np.abs(low - truth).mean(), rel=1e-5)
    assert scores["mass_bias"] == pytest.approx(low.sum() / truth.sum(), rel=1e-5)
    floors = snapshot.metadata["floors"]
    names = ["area", "perimeter", "components"]
    gamma = gamma_matrix(
        low,
        snapshot.thresholds,
        pixel_km=2.0,
        min_persistence=(floors["components"]["epsilon"], floors["holes"]["epsilon"]),
        functionals=names,
    )
    target = features["gamma"].sel(functional=names).values
    error = np.abs(np.log1p(gamma.astype(float)) - np.log1p(target)).mean(axis=0)
    # Pixels within rounding of a threshold may fall on either side.
    assert scores["loss"]["counting"] == pytest.approx(error.sum(), rel=1e-3)


def test_wet_and_dry_tiles_are_scored_and_counted(
    trained: Recipe, result: EvaluateResult, truth: FloatArray
) -> None:
    wet = minkgen.open_features(trained.store, "test")["wet"].values
    assert result.content["tiles"] == {"wet": wet.sum(), "dry": (~wet).sum()}
    assert (~wet).sum() == 2
    for seeds in result.content["models"].values():
        for scores in seeds.values():
            dry = scores["sal"]["dry"]
            assert dry["both"] + dry["truth"] == (~wet).sum()
            assert scores["sal"]["structure"]["pairs"] == (wet.sum() - dry["predicted"])
    assert "dry ones included" in (result.folder / "superres.txt").read_text()


def test_everything_is_written_and_says_the_same(trained: Recipe, result: EvaluateResult) -> None:
    content, folder = result.content, result.folder
    assert folder.parent == trained.store / "runs"
    assert json.loads((folder / "superres.json").read_text()) == content
    assert list(content["models"]) == ROWS
    assert {name: list(seeds) for name, seeds in content["models"].items()} == {
        "interpolation": ["0"],
        "unet": ["0", "1"],
        "ddpm": ["0"],
    }
    rows = list(csv.DictReader((folder / "superres.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == TITLES
    errors = [seed["mae"] for seed in content["models"]["unet"].values()]
    assert errors[0] != errors[1]
    assert float(rows[1]["mae"]) == content["table"][1]["mae"] == pytest.approx(np.mean(errors))
    assert float(rows[1]["mae_spread"]) == pytest.approx(np.std(errors, ddof=1))
    assert rows[1]["ensemble/crps"] == ""
    assert float(rows[2]["ensemble/crps"]) == content["models"]["ddpm"]["0"]["ensemble"]["crps"]
    text = (folder / "superres.txt").read_text()
    assert result.text in text
    snapshot = open_snapshot(trained.store)
    for words in (
        *(snapshot.name, snapshot.metadata["attribution"], "seed 1: superres-", "arXiv 2604.11422"),
        *("there is one", "CRPS, fair", "fields/s", "of 16 tiles"),
    ):
        assert words in text
    throughput = json.loads((folder / "superres_throughput.json").read_text())
    assert {name: timed["steps"] for name, timed in throughput.items()} == {
        "interpolation": 1,
        "unet": 1,
        "ddpm": 2,
    }
    members = {name: seeds["0"]["members"] for name, seeds in content["models"].items()}
    assert members == {"interpolation": 1, "unet": 1, "ddpm": 2}
    pictures = sorted(path.stem.removeprefix("superres_") for path in folder.glob("*.png"))
    assert pictures == ["fields", "gamma", "perception", "reliability", "sal", "spectra"]
    for path in folder.glob("*.png"):
        assert imread(path).ndim == 3


def test_saved_storms_are_those_of_the_store_and_figures_regenerate_from_them(
    trained: Recipe, result: EvaluateResult, truth: FloatArray
) -> None:
    storms = read_storms(result.folder / "predictions.npz")
    assert storms.names == list(result.content["cases"]) == ["extreme", "median", "fragmented"]
    np.testing.assert_array_equal(storms.truth, truth[storms.rows])
    assert storms.fields["ddpm"].shape == (3, 2, *truth.shape[1:])
    assert not np.array_equal(storms.fields["ddpm"][:, 0], storms.fields["ddpm"][:, 1])
    low = refine(coarsen(storms.truth, 2.0), truth.shape[1:], 2.0)
    np.testing.assert_allclose(storms.low, low, atol=1e-5)
    np.testing.assert_array_equal(
        storms.fields["interpolation"][:, 0],
        np.where(storms.low >= np.float32(0.1), storms.low, np.float32(0.0)),
    )
    drawn = {path: path.read_bytes() for path in result.folder.glob("*.png")}
    for path in (*drawn, result.folder / "superres.txt"):
        path.unlink()
    again = evaluate_superres(trained, models=ROWS, redraw=True)
    assert again == result
    assert {path: path.read_bytes() for path in result.folder.glob("*.png")} == drawn
    assert (result.folder / "superres.txt").exists()


def test_neither_batches_nor_days_change_the_scores_and_days_are_drawn_again(
    trained: Recipe, result: EvaluateResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hours(Days):
        """Every other row of a split on another day."""

        def __init__(self, snapshot: Any, split: str) -> None:
            super().__init__(snapshot, split)
            self.all = ["2024-07-01", "2024-07-02"]
            self._of_row = np.arange(snapshot.rows(split)) % 2

    monkeypatch.setattr(spans_module, "Days", Hours)
    monkeypatch.setattr(scores_module, "BATCH_SIZE", 17)
    monkeypatch.setattr(scores_module, "REPLICATES", 20)
    subject = open_superres_subject(trained, "test", ["interpolation"])
    scored = score_models(trained, subject, chosen_rows(subject.snapshot, "test"), Silent())
    found, expected = (
        content["models"]["interpolation"]["0"] for content in (scored.content, result.content)
    )
    for key in ("mae", "exceedance_ratio", "rapsd", "fss", "return_level", "isoperimetric"):
        assert flat(found[key]) == pytest.approx(flat(expected[key]), rel=1e-6), key
    assert found["sal"]["dry"] == expected["sal"]["dry"]
    assert result.content["bootstrap"]["interpolation"] is None
    interval = scored.content["bootstrap"]["interpolation"]["mae"]
    assert interval["low"] <= found["mae"] <= interval["high"]
    content = {**result.content, **scored.content, "days": Hours(subject.snapshot, "test").all}
    tables = superres_tables(content, scored.throughput)
    assert any("from 2 days drawn with replacement" in table.title for table in tables)
    assert "intervals are of days" in superres_headline(content)


def flat(value: Any) -> Any:
    """Return all numbers in nested containers, in order."""
    if isinstance(value, dict):
        return [each for part in value.values() for each in np.atleast_1d(flat(part)).tolist()]
    return value if value is not None else float("-inf")


def test_models_that_are_not_there_are_named(trained: Recipe, result: EvaluateResult) -> None:
    runs = sorted((trained.store / "runs").iterdir())
    with pytest.raises(TrainingError, match="flow: not trained on the store's current snapshot"):
        evaluate_superres(trained, models=["flow"])
    with pytest.raises(InputError, match="no such model of super-resolution"):
        evaluate_superres(trained, models=["gan"])
    with pytest.raises(StoreError, match="there is no evaluation of super-resolution"):
        evaluate_superres(trained, models=["unet"], redraw=True)
    assert sorted((trained.store / "runs").iterdir()) == runs


def test_saved_storms_that_are_damaged_are_refused(result: EvaluateResult, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(result.folder, folder)
    saved = (folder / "predictions.npz").read_bytes()
    (folder / "predictions.npz").write_bytes(saved[: len(saved) // 2])
    with pytest.raises(StoreError, match="saved predictions cannot be read"):
        redraw_superres(folder)


def test_the_page_of_results_has_a_section_of_super_resolution(
    result: EvaluateResult, tmp_path: Path
) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text("name: small\n")
    script = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "results.py"))
    page = script["write"]([(recipe, result.folder)], tmp_path).read_text()
    errors = [f"{row['mae']:.4f}" for row in result.content["table"]]
    spread = f"{result.content['table'][1]['spread']['mae']:.4f}"
    assert f"| MAE [mm/h] | {errors[0]} | {errors[1]} ± {spread} | {errors[2]} |" in page
    for words in (
        "## small: super-resolution, test split",
        "dry ones included",
        "arXiv 2604.11422, Table 2",
    ):
        assert words in page
    shown = re.findall(r"\]\((images/results-.*?png)\)", page)
    assert len(shown) == 6
    for picture in shown:
        assert imread(tmp_path / picture).ndim == 3


def test_runs_with_a_geometric_loss_say_its_weight() -> None:
    run = {"run": "superres-1", "epochs": 8, "best_epoch": 7, "tiles": 2000, "seconds": 9.0}
    about = {
        "interpolation": {"title": "Bicubic", "settings": {}},
        "unet": {"title": "U-Net", "seeds": {"0": {**run, "hardware": "a CPU"}}},
        "unet-exact": {
            "title": "U-Net + exact",
            "seeds": {"1": {**run, "hardware": "a CPU", "geometric_weight": 1.25e-4}},
        },
    }
    plain, exact = run_lines(about)
    assert plain == "U-Net, seed 0: superres-1, 8 epochs (best 7) of 2000 tiles in 9 s on a CPU"
    assert exact.startswith("U-Net + exact, seed 1: ")
    assert exact.endswith("on a CPU; weight of the geometric loss 0.000125")


@pytest.mark.slow
def test_workers_find_what_one_process_finds(trained: Recipe, result: EvaluateResult) -> None:
    before = {path.name: path.read_bytes() for path in result.folder.iterdir()}
    two = trained.model_copy(update={"cluster": trained.cluster.model_copy(update={"workers": 2})})
    again = evaluate_superres(two, models=ROWS)
    assert again.folder == result.folder
    assert len(before) > 8
    for name, content in before.items():
        if name in ("superres_throughput.json", "superres.txt"):
            continue  # how fast it was
        assert (again.folder / name).read_bytes() == content, name
