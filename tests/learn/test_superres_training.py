"""Training of super-resolution: exact resume, the geometric loss and its weight, what is kept."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from minkgen.errors import TrainingError, TrainingStopped
from minkgen.gamma.matrix import gamma_matrix
from minkgen.learn.checkpoints import read_checkpoint, read_tensors
from minkgen.learn.superres.data import scenes_in_order
from minkgen.learn.superres.weights import build_superres, load_superres
from minkgen.learn.training import (
    BEST,
    LAST,
    METRICS,
    GeometricSurrogate,
    TrainingProgress,
    fit_superres,
    training_budget,
)
from minkgen.learn.training.geometry import MEASURED_BATCHES
from minkgen.recipe import Analytical, Exact, SuperResolution
from minkgen.store.snapshot import Snapshot
from tests.learn.test_stopping import send_at
from tests.learn.test_training import (
    InterruptedRunError,
    ignore,
    lines,
    require_same_values,
    stop_at,
    without_times,
)

pytestmark = pytest.mark.filterwarnings("ignore:the store has no terrain")

THREE = ("area", "perimeter", "components")
# 99 samples an epoch in five batches: the weight is measured in epochs 2 and 3.
BATCHES = 5


def small(**changes: Any) -> SuperResolution:
    """Return the settings of a U-Net that trains in a second or two."""
    settings: dict[str, Any] = {
        "features": (8, 8),
        "batch_size": 20,
        "epochs": 4,
        "learning_rate": 2e-3,
        "minkowski": "exact",
        "geometry": {"warm_up_epochs": 1, "ramp_epochs": 2, "temperature_scale": 2.0},
        "seed": 3,
    }
    return SuperResolution.model_validate(settings | changes)


def store_of(snapshot: Snapshot) -> Path:
    return Path(snapshot.path).parent.parent


def fit(
    snapshot: Snapshot,
    settings: SuperResolution,
    folder: Path,
    progress: Callable[[TrainingProgress], None] = ignore,
    *,
    surrogate: GeometricSurrogate | None = None,
    **choices: Any,
) -> Any:
    surrogates: dict[str, GeometricSurrogate | None] = {
        "none": None,
        "exact": Exact(),
        "analytical": Analytical(),
    }
    return fit_superres(
        snapshot,
        store_of(snapshot),
        settings,
        folder,
        surrogate=surrogate or surrogates[settings.minkowski],
        progress=progress,
        **choices,
    )


@pytest.fixture(scope="module")
def trained(snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an uninterrupted run of `small()`; treat as read-only."""
    folder = tmp_path_factory.mktemp("superres")
    fit(snapshot, small(), folder)
    return folder


@pytest.mark.parametrize(
    ("epoch", "batch"),
    # After the warm-up; in the epochs in which the weight is measured, and in which it is chosen.
    [(1, 0), (2, 2), (3, 1)],
)
def test_resumed_equals_uninterrupted_bit_for_bit(
    snapshot: Snapshot, trained: Path, tmp_path: Path, epoch: int, batch: int
) -> None:
    if batch:
        with pytest.raises(TrainingStopped):
            fit(snapshot, small(), tmp_path, send_at(epoch, batch, signal.SIGUSR1))
        assert read_checkpoint(tmp_path / LAST)["running"]["batches"] == batch + 1
    else:
        with pytest.raises(InterruptedRunError):
            fit(snapshot, small(), tmp_path, stop_at(epoch, 0))
    torch.manual_seed(12345)  # another process has another random state
    summary = fit(snapshot, small(), tmp_path)
    assert summary.epochs == 4
    require_same_values(read_checkpoint(tmp_path / LAST), read_checkpoint(trained / LAST))
    assert (tmp_path / BEST).read_bytes() == (trained / BEST).read_bytes()
    assert without_times(lines(tmp_path)) == without_times(lines(trained))
    assert {path.name for path in tmp_path.iterdir()} == {BEST, LAST, METRICS}


def test_the_metrics_tell_the_terms_apart(snapshot: Snapshot, trained: Path) -> None:
    records = lines(trained)
    assert [set(record["train"]) for record in records] == [{"own"}, *[{"own", *THREE}] * 3]
    geometry = [record["geometry"] for record in records]
    assert [each["gradients"]["batches"] for each in geometry] == [0, 5, MEASURED_BATCHES, 8]
    assert [each["weight"] for each in geometry[:2]] == [0.0, 0.0]
    assert 0.0 < geometry[2]["weight"] < geometry[3]["weight"] == geometry[3]["final_weight"]
    assert geometry[2]["final_weight"] == geometry[3]["final_weight"]
    scales = [each["temperature_scale"] for each in geometry]
    assert scales[0] == 2.0 > scales[1] > scales[2] > scales[3] == 1.0
    for record in records:
        assert record["gradient_norm"] > 0.0
        ours, theirs = record["validation"], record["interpolation"]
        score = ours["mae"] / theirs["mae"] + ours["loss"]["total"] / theirs["loss"]["total"]
        assert ours["score"] == pytest.approx(score)
    scores = [record["validation"]["score"] for record in records]
    best = read_tensors(trained / BEST).content
    assert (best["epoch"], best["loss"]) == (1 + int(np.argmin(scores)), min(scores))
    assert best["surrogate"] == {"exact": Exact().model_dump(mode="json")}


def test_the_budget_tells_the_weight_of_the_best_epoch(trained: Path) -> None:
    budget = training_budget(trained)
    kept = lines(trained)[budget["best_epoch"] - 1]
    assert budget["geometric_weight"] == kept["geometry"]["weight"]


def test_the_score_is_of_what_the_kept_weights_give(snapshot: Snapshot, trained: Path) -> None:
    model = load_superres(trained / BEST, snapshot)
    epoch = read_tensors(trained / BEST).content["epoch"]
    scenes = scenes_in_order(
        snapshot, store_of(snapshot), small(), "validation", THREE, 1000, wet_only=False
    )
    ((_, batch),) = scenes
    assert len(batch.target) == 40, "dry tiles count as well"
    for name, field in (
        ("validation", model.sample(batch.scene)[0].numpy()),
        ("interpolation", batch.scene.low.numpy()),
    ):
        rain = np.where(field >= np.float32(0.1), field, np.float32(0.0))
        gamma = gamma_matrix(
            rain, snapshot.thresholds, pixel_km=2.0, min_persistence=(0.5, 0.5), functionals=THREE
        )
        terms = np.abs(np.log1p(gamma) - np.log1p(batch.gamma.numpy())).sum(axis=2).mean(axis=0)
        recorded = lines(trained)[epoch - 1][name]
        assert recorded["mae"] == pytest.approx(
            float(np.abs(field - batch.target.numpy()).mean()), rel=1e-4
        )
        assert [recorded["loss"][each] for each in THREE] == pytest.approx(terms, rel=1e-3)


def test_generative_models_are_chosen_by_their_loss_with_fixed_noise(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    unet = small(minkowski="none", epochs=1)
    fit(snapshot, unet, tmp_path / "unet")
    still = {"learning_rate": 1e-12, "weight_decay": 0.0, "epochs": 2, "batch_size": 40}
    for model, mean in (("ddpm", None), ("flow", tmp_path / "unet" / BEST)):
        settings = unet.model_copy(update={"model": model, **still})
        fit(snapshot, settings, tmp_path / model, mean=mean)
        first, second = lines(tmp_path / model)
        # Other noise would change it by far more.
        assert first["validation"]["score"] == pytest.approx(
            second["validation"]["score"], rel=1e-6
        )
        assert first["train"]["own"] != pytest.approx(second["train"]["own"], rel=1e-4)
        assert load_superres(tmp_path / model / BEST, snapshot).is_generative
    kept = read_tensors(tmp_path / "flow" / BEST).tensors
    assert kept["residual_scale"] > 0.0
    mean_weight = read_tensors(tmp_path / "unet" / BEST).tensors["network.last.weight"]
    assert torch.equal(kept["mean.network.last.weight"], mean_weight)


def test_a_flow_with_the_exact_loss_resumes_bit_for_bit(snapshot: Snapshot, tmp_path: Path) -> None:
    fit(snapshot, small(minkowski="none", epochs=1), tmp_path / "unet")
    geometry = {"warm_up_epochs": 0, "ramp_epochs": 1, "weight": 1e-4}
    settings = small(model="flow", epochs=2, batch_size=50, geometry=geometry)
    mean = tmp_path / "unet" / BEST
    fit(snapshot, settings, tmp_path / "whole", mean=mean)
    with pytest.raises(TrainingStopped):
        fit(snapshot, settings, tmp_path / "halted", send_at(1, 1, signal.SIGTERM), mean=mean)
    fit(snapshot, settings, tmp_path / "halted", mean=mean)
    whole, halted = (read_checkpoint(tmp_path / name / LAST) for name in ("whole", "halted"))
    require_same_values(whole, halted)


def test_a_loss_that_is_not_finite_stops_before_the_step(
    make_snapshot: Callable[..., Snapshot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW, "step", lambda self, *args: (steps.append(1), step(self, *args))[1]
    )
    broken = make_snapshot(infinite_pixels=("train",))
    with pytest.raises(TrainingError, match="not finite") as caught:
        fit(broken, small(minkowski="none", batch_size=200), tmp_path)
    assert caught.value.where == "epoch 1, batch 1"
    assert steps == []
    assert {path.name for path in tmp_path.iterdir()} == {"not-finite-0.safetensors"}
    batch, _ = read_tensors(tmp_path / "not-finite-0.safetensors")
    assert batch.keys() == {"low", "terrain", "target", "gamma"}
    assert torch.isinf(batch["target"]).any()


def test_a_field_gone_astray_stops_the_run(snapshot: Snapshot, tmp_path: Path) -> None:
    geometry = {"warm_up_epochs": 0, "weight": 1e-4}
    with pytest.raises(TrainingError, match="not finite") as caught:
        fit(snapshot, small(learning_rate=1e30, geometry=geometry), tmp_path)
    assert str(caught.value.where) == "epoch 1, batch 2"
    assert "superres.learning_rate" in str(caught.value.hint)


def test_gradients_are_clipped(snapshot: Snapshot, tmp_path: Path) -> None:
    # With AdamW a clipped gradient shows only against its own past.
    weights = {}
    for clip in (1e-7, 1e9):
        fit(snapshot, small(minkowski="none", epochs=1, gradient_clip=clip), tmp_path / f"{clip}")
        weights[clip] = read_checkpoint(tmp_path / f"{clip}" / LAST)["optimizer"]["state"][0]
        assert lines(tmp_path / f"{clip}")[0]["gradient_norm"] > 1e-6
    assert weights[1e-7]["exp_avg"].norm() <= 1e-7 < weights[1e9]["exp_avg"].norm()


def test_a_model_is_rebuilt_from_its_settings(snapshot: Snapshot, trained: Path) -> None:
    weights = read_tensors(trained / BEST).tensors
    build_superres(snapshot, small()).load_state_dict(weights)
    text = (trained / METRICS).read_text(encoding="utf-8")
    assert all("NaN" not in line and json.loads(line) for line in text.splitlines())


@pytest.mark.slow
def test_two_processes_equal_one(snapshot: Snapshot, tmp_path: Path) -> None:
    # One batch an epoch, of which two processes take a half each; the weight is measured in all.
    geometry = {"warm_up_epochs": 1, "ramp_epochs": 1}
    settings = small(batch_size=100, epochs=MEASURED_BATCHES + 2, flips=0.0, geometry=geometry)
    one, two = tmp_path / "one", tmp_path / "two"
    fit(snapshot, settings, one)
    fit(snapshot, settings, two, devices=2)
    assert not multiprocessing.active_children()
    alone, shared = (read_checkpoint(folder / LAST) for folder in (one, two))
    for name, value in alone["model"].items():
        torch.testing.assert_close(shared["model"][name], value, rtol=1e-2, atol=1e-4)
    for ours, theirs in zip(lines(two), lines(one), strict=True):
        for key in ("train", "interpolation"):
            assert flat(ours[key]) == pytest.approx(flat(theirs[key]), rel=1e-3)
        assert ours["validation"]["score"] == pytest.approx(theirs["validation"]["score"], rel=1e-3)
    assert lines(two)[-1]["geometry"]["final_weight"] == pytest.approx(
        lines(one)[-1]["geometry"]["final_weight"], rel=1e-2
    )


def flat(record: dict[str, Any]) -> list[float]:
    values: list[float] = []
    for value in record.values():
        values += flat(value) if isinstance(value, dict) else [value]
    return values


@pytest.mark.slow
def test_a_signal_to_one_process_ends_both(snapshot: Snapshot, tmp_path: Path) -> None:
    def send_to_companions(report: TrainingProgress) -> None:
        if (report.epoch, report.batch) == (2, 2):
            for process in multiprocessing.active_children():
                assert process.pid is not None
                os.kill(process.pid, signal.SIGUSR1)

    with pytest.raises(TrainingStopped):
        fit(snapshot, small(), tmp_path, send_to_companions, devices=2)
    assert not multiprocessing.active_children()
    assert read_checkpoint(tmp_path / LAST)["running"]["batches"] >= 3
