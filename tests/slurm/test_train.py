"""Training in jobs: a signal and a requeue equal an uninterrupted run; tasks of two nodes train."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from minkgen.learn.checkpoints import read_checkpoint
from minkgen.opera.synthetic import write_archive
from minkgen.recipe import Recipe
from minkgen.store.snapshot import open_snapshot
from minkgen.workflows.compute import compute
from minkgen.workflows.ingest import ingest
from minkgen.workflows.train import TrainResult, emulator_run, train_emulator
from tests.learn.test_training import require_same_values, without_times
from tests.slurm.bed import Bed, wait_until
from tests.slurm.conftest import END, START

pytestmark = pytest.mark.slurm

SCRIPT = Path(__file__).parents[2] / "deploy" / "slurm" / "train.sbatch"
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
# Long enough to be met by a signal, and stopped by nothing else.
SMALL = {
    "widths": [8],
    "latent": 8,
    "batch_size": 2,
    "epochs": 16,
    "patience": 100,
    "mixup": False,
    "max_tiles": 48,
    "input_noise": 0.02,
}
JOB = ("--cpus-per-task=1", "--mem=3G", "--output=minkgen-train-%j.log")


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory, recipe_data_in: Any) -> Recipe:
    """Return a recipe with a snapshot; treat as read-only."""
    folder = tmp_path_factory.mktemp("computed")
    write_archive(folder / "archive", start=START, end=END, layout="nimbus", seed=1)
    recipe = Recipe.model_validate({**recipe_data_in(folder), "emulator": SMALL})
    ingest(recipe)
    compute(recipe)
    return recipe


def copied(recipe: Recipe, folder: Path) -> Path:
    """Return the file of the recipe with another store, which has the same snapshot."""
    (folder / "store").mkdir(parents=True)
    (folder / "store" / "features").symlink_to(recipe.store / "features")
    file = folder / "recipe.yaml"
    data = recipe.model_copy(update={"store": folder / "store"}).model_dump_json()
    file.write_text(data, encoding="utf-8")
    return file


def uninterrupted(recipe: Recipe, folder: Path, **choices: Any) -> TrainResult:
    copied(recipe, folder)
    torch.set_num_threads(1)
    return train_emulator(recipe.model_copy(update={"store": folder / "store"}), **choices)


def epochs(run: Path) -> list[dict[str, Any]]:
    file = run / "metrics.jsonl"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def log(bed: Bed, job: str) -> str:
    return (bed.jobs / f"minkgen-train-{job}.log").read_text(encoding="utf-8")


def test_a_signal_and_a_requeue_equal_an_uninterrupted_run(
    inside_bed: Bed, computed: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINKGEN", str(Path(sys.executable).with_name("minkgen")))
    file = copied(computed, tmp_path / "job")
    job = inside_bed.submit(SCRIPT, str(file), options=JOB)
    run = emulator_run(tmp_path / "job" / "store", open_snapshot(computed.store), computed.emulator)
    wait_until("a job has trained an epoch", lambda: epochs(run), 60)
    inside_bed.run("scancel", "--batch", "--signal=USR1", job)
    wait_until("a requeue", lambda: inside_bed.describe(job)["Restarts"] == "1", 60)
    whole = uninterrupted(computed, tmp_path / "whole")
    assert inside_bed.wait(job, ENDED, 120) == "COMPLETED", log(inside_bed, job)
    assert "SIGUSR1 has stopped the training" in log(inside_bed, job)
    trained, expected = (read_checkpoint(folder / "last.pt") for folder in (run, whole.run))
    require_same_values(trained, expected)
    assert without_times(epochs(run)) == without_times(epochs(whole.run))
    best = "best.safetensors"
    assert (run / best).read_bytes() == (whole.run / best).read_bytes()


def test_tasks_of_two_nodes_share_every_batch(
    inside_bed: Bed, computed: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINKGEN", str(Path(sys.executable).with_name("minkgen")))
    # The bed's nodes have no addresses of their own.
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    short = computed.emulator.model_copy(update={"epochs": 3})
    computed = computed.model_copy(update={"emulator": short})
    file = copied(computed, tmp_path / "job")
    job = inside_bed.submit(SCRIPT, str(file), options=(*JOB, "--nodes=2"))
    here = uninterrupted(computed, tmp_path / "here", devices=2)
    assert inside_bed.wait(job, ENDED, 120) == "COMPLETED", log(inside_bed, job)
    run = tmp_path / "job" / "store" / "runs" / here.run.name
    assert read_checkpoint(run / "last.pt")["processes"] == 2
    assert len([line for line in log(inside_bed, job).splitlines() if line.startswith("{")]) == 1
    for ours, theirs in zip(epochs(run), epochs(here.run), strict=True):
        assert ours["train"] == pytest.approx(theirs["train"], rel=1e-4)
