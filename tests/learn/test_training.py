from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from minkgen.errors import EmptySplitError, TrainingError
from minkgen.evaluate.metrics import EmulatorStatistics, emulator_scores
from minkgen.learn.checkpoints import load_emulator, read_checkpoint, read_tensors, write_tensors
from minkgen.learn.data import TileReader
from minkgen.learn.emulators import EmulatorNetwork
from minkgen.learn.prediction import predict
from minkgen.learn.training import BEST, LAST, METRICS, TrainingProgress, fit_emulator
from minkgen.recipe import Architecture, Emulator
from minkgen.store.snapshot import Snapshot
from tests.learn.conftest import SIZE

FILES = {BEST, LAST, METRICS}
TIMES = ("data_seconds", "step_seconds", "validation_seconds", "seconds")


def ignore(_: TrainingProgress) -> None:
    pass


class InterruptedRunError(Exception):
    pass


def stop_at(epoch: int, batch: int) -> Callable[[TrainingProgress], None]:
    """Return a callback that kills the training after a batch; at batch 0 after an epoch."""

    def stop(report: TrainingProgress) -> None:
        ended = report.validation_loss is not None
        if (report.epoch, 0 if ended else report.batch) == (epoch, batch):
            raise InterruptedRunError

    return stop


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / METRICS).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def without_times(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: record[key] for key in record if key not in TIMES} for record in records]


def require_same_values(left: Any, right: Any, path: str = "") -> None:
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right), path
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), path
        for key in left.keys() - set(TIMES):
            require_same_values(left[key], right[key], f"{path}.{key}")
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), path
        for number, (first, second) in enumerate(zip(left, right, strict=True)):
            require_same_values(first, second, f"{path}[{number}]")
    else:
        assert left == right, path


@pytest.fixture(scope="module")
def trained(snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an uninterrupted run of `settings`; treat as read-only."""
    folder = tmp_path_factory.mktemp("run")
    fit_emulator(snapshot, uninterrupted(), folder, progress=ignore)
    return folder


def uninterrupted() -> Emulator:
    """Return the settings of a network that trains in a second or two."""
    return Emulator(widths=(8, 16), latent=16, batch_size=16, epochs=4, learning_rate=2e-3, seed=3)


@pytest.mark.parametrize(("epoch", "batch"), [(1, 0), (3, 0), (1, 2), (3, 5)])
def test_resumed_equals_uninterrupted_bit_for_bit(
    snapshot: Snapshot, trained: Path, tmp_path: Path, epoch: int, batch: int
) -> None:
    with pytest.raises(InterruptedRunError):
        fit_emulator(snapshot, uninterrupted(), tmp_path, progress=stop_at(epoch, batch))
    torch.manual_seed(12345)  # another process has another random state
    summary = fit_emulator(snapshot, uninterrupted(), tmp_path, progress=ignore)
    assert summary.resumed_from == (epoch - 1 if batch else epoch)
    assert summary.epochs == 4
    require_same_values(read_checkpoint(tmp_path / LAST), read_checkpoint(trained / LAST))
    assert (tmp_path / BEST).read_bytes() == (trained / BEST).read_bytes()
    assert without_times(lines(tmp_path)) == without_times(lines(trained))
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_the_random_state_goes_on_where_it_was(snapshot: Snapshot, tmp_path: Path) -> None:
    settings = Emulator(widths=(8,), latent=8, batch_size=64, epochs=3, mixup=False)
    drawn: dict[str, list[float]] = {"whole": [], "resumed": []}

    def draw(name: str) -> Callable[[TrainingProgress], None]:
        def report(progress: TrainingProgress) -> None:
            if progress.validation_loss is None:
                drawn[name].append(torch.rand(()).item())

        return report

    fit_emulator(snapshot, settings, tmp_path / "whole", progress=draw("whole"))
    stop, go_on = stop_at(2, 0), draw("resumed")

    def report_and_stop(progress: TrainingProgress) -> None:
        go_on(progress)
        stop(progress)

    with pytest.raises(InterruptedRunError):
        fit_emulator(snapshot, settings, tmp_path / "resumed", progress=report_and_stop)
    fit_emulator(snapshot, settings, tmp_path / "resumed", progress=go_on)
    assert len(drawn["whole"]) == 6
    assert drawn["resumed"] == drawn["whole"]


def test_validation_changes_nothing(
    snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    forward = EmulatorNetwork.forward

    def watched(self: EmulatorNetwork, rain_rate_BHW: torch.Tensor) -> torch.Tensor:
        modes.append((self.training, torch.is_grad_enabled()))
        return forward(self, rain_rate_BHW)

    monkeypatch.setattr(EmulatorNetwork, "forward", watched)
    settings = Emulator(widths=(8,), latent=8, batch_size=64, epochs=2, mixup=False)
    fit_emulator(snapshot, settings, tmp_path, progress=ignore)
    training, validating = (True, True), (False, False)
    assert modes == [training, training, validating] * 2


def test_another_seed_is_another_network(snapshot: Snapshot, trained: Path, tmp_path: Path) -> None:
    fit_emulator(
        snapshot, uninterrupted().model_copy(update={"seed": 4}), tmp_path, progress=ignore
    )
    ours, theirs = (read_checkpoint(folder / LAST)["emulator"] for folder in (tmp_path, trained))
    assert not torch.equal(ours["trunk.latent.weight"], theirs["trunk.latent.weight"])


def test_a_finished_run_is_left_alone(snapshot: Snapshot, trained: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in trained.iterdir()}
    summary = fit_emulator(snapshot, uninterrupted(), trained, progress=stop_at(1, 1))
    assert summary.resumed_from == summary.epochs == 4
    assert before == {path.name: path.stat().st_mtime_ns for path in trained.iterdir()}


def test_training_learns(trained: Path) -> None:
    losses = [record["validation"]["counting"]["total"] for record in lines(trained)]
    assert min(losses) < 0.75 * losses[0]


@pytest.mark.parametrize("architecture", ["lip-cnn", "cnn-constrained", "cnn"])
def test_every_architecture_learns(
    snapshot: Snapshot, tmp_path: Path, architecture: Architecture
) -> None:
    settings = uninterrupted().model_copy(update={"architecture": architecture})
    fit_emulator(snapshot, settings, tmp_path, progress=ignore)
    losses = [record["validation"]["counting"]["total"] for record in lines(tmp_path)]
    assert min(losses) < 0.75 * losses[0]


def test_the_metrics_say_what_happened(snapshot: Snapshot, trained: Path) -> None:
    records = lines(trained)
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    wet = int(np.count_nonzero(snapshot.array("train", "wet")[:]))
    for record in records:
        assert record["samples"] == 2 * wet  # real and mixed
        assert record["learning_rate"] == 2e-3
        assert set(record["weights"]) == {"area", "perimeter", "components"}
        for terms in (record["train"], *record["validation"].values()):
            parts = sum(terms[name] for name in ("area", "perimeter", "components"))
            assert terms["total"] == pytest.approx(parts)
        assert record["seconds"] == pytest.approx(
            record["data_seconds"] + record["step_seconds"] + record["validation_seconds"]
        )
        # Spectral norms leave the stem's alone, whose ramps are steep.
        assert record["spectral_product"] > 5.0
        assert 0.0 < record["input_gradient"]["median"] <= record["input_gradient"]["p99"]
    first, last = records[0]["weights"], records[-1]["weights"]
    assert all(first[name] != last[name] for name in first), "the weights are not learned"


def test_the_kept_weights_are_those_of_the_best_epoch_and_score_as_recorded(
    snapshot: Snapshot, trained: Path
) -> None:
    best = read_tensors(trained / BEST).content
    records = lines(trained)
    losses = [record["validation"]["counting"]["total"] for record in records]
    assert best["epoch"] == 1 + int(np.argmin(losses))
    emulator = load_emulator(trained / BEST, snapshot)
    (batch,) = TileReader(snapshot, "validation", emulator.functionals).in_order(1000)
    predicted = predict(emulator, batch.rain_rate.numpy())
    statistics = EmulatorStatistics.of(predicted, batch.gamma.numpy(), emulator.functionals)
    scores = emulator_scores(statistics, snapshot.measure)
    recorded = records[best["epoch"] - 1]["validation"]
    assert scores.loss_counting == pytest.approx(recorded["counting"]["total"], rel=1e-5)
    assert scores.loss_measure == pytest.approx(recorded["measure"]["total"], rel=1e-5)
    assert scores.predicted.isoperimetric_sets == 0.0
    assert scores.predicted.monotonicity_sets == 0.0


def test_a_loaded_emulator_is_frozen(snapshot: Snapshot, trained: Path) -> None:
    emulator = load_emulator(trained / BEST)
    assert not emulator.training
    assert not any(parameter.requires_grad for parameter in emulator.parameters())
    assert emulator.thresholds.tolist() == snapshot.thresholds.tolist()


def test_checkpoints_hold_tensors_and_plain_containers_only(trained: Path) -> None:
    content = torch.load(trained / LAST, weights_only=True)
    assert content["identity"]["snapshot"] == "0123456789abcdef"


def test_patience_ends_a_training_without_progress(snapshot: Snapshot, tmp_path: Path) -> None:
    settings = Emulator(
        widths=(8,), latent=8, batch_size=32, epochs=60, patience=3, learning_rate=0.5, mixup=False
    )
    summary = fit_emulator(snapshot, settings, tmp_path, progress=ignore)
    assert summary.epochs == summary.best_epoch + 3 < 60
    rates = [record["learning_rate"] for record in lines(tmp_path)]
    assert rates[0] == 0.5
    assert min(rates) < 0.5, "the learning rate was never lowered"
    losses = [record["validation"]["counting"]["total"] for record in lines(tmp_path)]
    weights, best = read_tensors(tmp_path / BEST)
    last = read_checkpoint(tmp_path / LAST)["emulator"]
    assert best["epoch"] == summary.best_epoch == 1 + int(np.argmin(losses))
    assert best["loss"] == summary.best_loss == min(losses)
    assert not torch.equal(weights["trunk.latent.weight"], last["trunk.latent.weight"])
    again = fit_emulator(snapshot, settings, tmp_path, progress=stop_at(1, 1))
    assert again.resumed_from == summary.epochs


def test_progress_counts_every_batch_and_epoch(snapshot: Snapshot, tmp_path: Path) -> None:
    reports: list[TrainingProgress] = []
    settings = Emulator(widths=(8,), latent=8, batch_size=40, epochs=2, mixup=False)
    fit_emulator(snapshot, settings, tmp_path, progress=reports.append)
    wet = int(np.count_nonzero(snapshot.array("train", "wet")[:]))
    batches = -(-wet // 40)
    steps = [(report.epoch, report.batch) for report in reports if report.validation_loss is None]
    assert steps == [(epoch, batch + 1) for epoch in (1, 2) for batch in range(batches)]
    ends = [report for report in reports if report.validation_loss is not None]
    assert [end.validation_loss for end in ends] == [
        record["validation"]["counting"]["total"] for record in lines(tmp_path)
    ]


def test_a_loss_that_is_not_finite_stops_before_the_step(
    make_snapshot: Callable[..., Snapshot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self, *args: (steps.append(1), step(self, *args))[1]
    )
    broken = make_snapshot(infinite_pixels=("train",))
    settings = Emulator(widths=(8,), latent=8, batch_size=200, epochs=2, mixup=False)
    with pytest.raises(TrainingError, match="not finite") as caught:
        fit_emulator(broken, settings, tmp_path, progress=ignore)
    assert caught.value.where == "epoch 1, batch 1"
    assert steps == []
    assert {path.name for path in tmp_path.iterdir()} == {"not-finite-0.safetensors"}
    batch, content = read_tensors(tmp_path / "not-finite-0.safetensors")
    assert content["where"] == "epoch 1, batch 1"
    assert torch.isinf(batch["rain_rate"]).sum() == 3 * SIZE
    assert batch["gamma"].shape == (len(batch["rain_rate"]), 3, len(broken.thresholds))


def test_weights_gone_astray_stop_the_run_and_leave_the_last_epoch(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    settings = Emulator(widths=(8,), latent=8, batch_size=16, epochs=3, learning_rate=1e30)
    with pytest.raises(TrainingError, match="not finite") as caught:
        fit_emulator(snapshot, settings, tmp_path, progress=ignore)
    assert str(caught.value.where) == "epoch 1, batch 2"
    assert {path.name for path in tmp_path.iterdir()} == {"not-finite-0.safetensors"}


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({"hash": "fedcba"}, "snapshot"),
        ({"pixel_km": 1.0}, "design.definition.pixel_km"),
        ({"normalisation": {"log1p_max": 9.0}}, "design.log_max"),
    ],
)
def test_a_checkpoint_of_another_snapshot_is_refused(
    make_snapshot: Callable[..., Snapshot], trained: Path, metadata: dict[str, Any], named: str
) -> None:
    other = make_snapshot(counts={"train": 20, "validation": 20, "test": 20}, **metadata)
    with pytest.raises(TrainingError, match=named):
        load_emulator(trained / BEST, other)
    with pytest.raises(TrainingError, match=named):
        fit_emulator(other, uninterrupted(), trained, progress=ignore)


def test_a_checkpoint_of_other_settings_is_refused(snapshot: Snapshot, trained: Path) -> None:
    other = uninterrupted().model_copy(update={"epochs": 5})
    with pytest.raises(TrainingError, match=r"settings\.epochs: "):
        fit_emulator(snapshot, other, trained, progress=ignore)


def test_a_damaged_checkpoint_is_named(trained: Path, tmp_path: Path) -> None:
    whole = (trained / BEST).read_bytes()
    damaged = tmp_path / BEST
    for content in (b"", b"not a checkpoint", whole[: len(whole) // 2]):
        damaged.write_bytes(content)
        with pytest.raises(TrainingError, match="cannot be read") as caught:
            load_emulator(damaged)
        assert caught.value.where == damaged
    with pytest.raises(TrainingError, match="no checkpoint"):
        load_emulator(tmp_path / "absent.safetensors")
    write_tensors(damaged, {}, {"format": 99})
    with pytest.raises(TrainingError, match="unknown format"):
        load_emulator(damaged)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_dry_split_stops_before_anything_is_written(
    make_snapshot: Callable[..., Snapshot], tmp_path: Path, split: str
) -> None:
    with pytest.raises(EmptySplitError, match=split):
        fit_emulator(make_snapshot(all_dry=(split,)), uninterrupted(), tmp_path, progress=ignore)
    assert not list(tmp_path.iterdir())


def test_the_callers_random_state_stays_as_it_was(snapshot: Snapshot, tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    settings = Emulator(widths=(8,), latent=8, batch_size=64, epochs=1, mixup=False)
    fit_emulator(snapshot, settings, tmp_path, progress=ignore)
    assert torch.equal(torch.rand(3), expected)
