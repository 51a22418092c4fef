"""A training that a signal ends goes on as if nothing had been; several processes equal one."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from minkgen.errors import InputError, TrainingError, TrainingStopped
from minkgen.learn.checkpoints import load_emulator, read_checkpoint, read_tensors
from minkgen.learn.training import BEST, LAST, METRICS, TrainingProgress, fit_emulator
from minkgen.recipe import Architecture, Emulator
from minkgen.store.snapshot import Snapshot
from tests.learn.test_training import ignore, lines, require_same_values, without_times

SMALL: dict[str, Any] = {
    "widths": (8,),
    "latent": 8,
    "batch_size": 32,
    "epochs": 2,
    "learning_rate": 2e-3,
}


def send_at(epoch: int, batch: int, number: signal.Signals) -> Callable[[TrainingProgress], None]:
    """Return a callback that sends this process a signal, twice, as SLURM may, in one batch."""

    def send(report: TrainingProgress) -> None:
        if report.validation_loss is None and (report.epoch, report.batch) == (epoch, batch):
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)

    return send


@pytest.mark.parametrize(
    ("architecture", "epoch", "batch", "number"),
    [
        ("lip-cnn-constrained", 1, 2, signal.SIGUSR1),
        ("lip-cnn", 2, 1, signal.SIGTERM),
        ("cnn-constrained", 1, 6, signal.SIGUSR1),  # the last batch of an epoch
        ("cnn", 2, 3, signal.SIGTERM),
    ],
)
def test_a_signal_ends_a_training_that_goes_on_bit_for_bit(
    snapshot: Snapshot,
    tmp_path: Path,
    architecture: Architecture,
    epoch: int,
    batch: int,
    number: signal.Signals,
) -> None:
    settings = Emulator(**SMALL, architecture=architecture, input_noise=0.05)
    handlers = [signal.getsignal(each) for each in (signal.SIGUSR1, signal.SIGTERM)]
    with pytest.raises(TrainingStopped, match=f"{number.name} has stopped") as caught:
        fit_emulator(
            snapshot, settings, tmp_path / "halted", progress=send_at(epoch, batch, number)
        )
    assert caught.value.number == number
    assert [signal.getsignal(each) for each in (signal.SIGUSR1, signal.SIGTERM)] == handlers
    # The signal comes while a batch is reported, and the next one is the running one.
    running = read_checkpoint(tmp_path / "halted" / LAST)["running"]
    assert running["batches"] == batch % 6 + 1
    torch.manual_seed(12345)  # another process has another random state
    fit_emulator(snapshot, settings, tmp_path / "halted", progress=ignore)
    fit_emulator(snapshot, settings, tmp_path / "whole", progress=ignore)
    halted, whole = (tmp_path / name for name in ("halted", "whole"))
    require_same_values(read_checkpoint(halted / LAST), read_checkpoint(whole / LAST))
    assert (halted / BEST).read_bytes() == (whole / BEST).read_bytes()
    assert without_times(lines(halted)) == without_times(lines(whole))
    assert {path.name for path in halted.iterdir()} == {BEST, LAST, METRICS}


def test_noise_changes_a_training_and_weights_can_be_fixed(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    trained = {}
    for name, changes in {
        "plain": {},
        "noisy": {"input_noise": 0.05},
        "fixed": {"term_weights": (1.0, 2.0, 3.0)},
        "rounded": {"precision": "bf16-mixed"},
        "closed": {"perimeter": "perimeter_closed"},
    }.items():
        fit_emulator(snapshot, Emulator(**SMALL | changes), tmp_path / name, progress=ignore)
        trained[name] = read_tensors(tmp_path / name / BEST).tensors["heads.linear.weight"]
    plain = trained.pop("plain")
    for name, weight in trained.items():
        assert not torch.equal(plain, weight), name
        assert (plain - weight).abs().max() < 0.1, name
    weights = [record["weights"] for record in lines(tmp_path / "fixed")]
    assert weights == [{"area": 1.0, "perimeter": 2.0, "components": 3.0}] * 2
    assert set(lines(tmp_path / "closed")[0]["weights"]) == {
        "area",
        "perimeter_closed",
        "components",
    }
    assert load_emulator(tmp_path / "closed" / BEST, snapshot).functionals[1] == "perimeter_closed"


def whole_batches(snapshot: Snapshot, **changes: Any) -> Emulator:
    """Return settings with one batch an epoch, of which two processes take a half each."""
    return Emulator(**SMALL | {"batch_size": 400, "epochs": 5, "learning_rate": 1e-2} | changes)


def test_two_processes_equal_one(snapshot: Snapshot, tmp_path: Path) -> None:
    # An odd number of samples: the halves differ.
    settings = whole_batches(snapshot, mixup=False, max_tiles=75, widths=(8, 16))
    one, two = tmp_path / "one", tmp_path / "two"
    fit_emulator(snapshot, settings, one, progress=ignore)
    summary = fit_emulator(snapshot, settings, two, progress=ignore, devices=2)
    assert summary.epochs == 5
    assert not multiprocessing.active_children()
    alone, shared = (read_checkpoint(folder / LAST) for folder in (one, two))
    for name, value in alone["emulator"].items():
        torch.testing.assert_close(shared["emulator"][name], value, rtol=1e-3, atol=1e-5)
    for ours, theirs in zip(lines(two), lines(one), strict=True):
        for key in ("train", "weights"):
            assert ours[key] == pytest.approx(theirs[key], rel=1e-4)
        assert ours["validation"]["counting"] == pytest.approx(
            theirs["validation"]["counting"], rel=1e-4
        )


@pytest.mark.slow
def test_a_signal_to_one_process_ends_both(snapshot: Snapshot, tmp_path: Path) -> None:
    settings = Emulator(**SMALL)
    with pytest.raises(TrainingStopped):
        fit_emulator(
            snapshot, settings, tmp_path, progress=send_at(1, 2, signal.SIGUSR1), devices=2
        )
    assert not multiprocessing.active_children()
    assert read_checkpoint(tmp_path / LAST)["running"]["batches"] == 3
    with pytest.raises(TrainingError, match="share in another way"):
        fit_emulator(snapshot, settings, tmp_path, progress=ignore)


@pytest.mark.slow
def test_a_process_that_dies_is_named(snapshot: Snapshot, tmp_path: Path) -> None:
    def kill(report: TrainingProgress) -> None:
        if (report.epoch, report.batch) == (1, 2):
            for process in multiprocessing.active_children():
                process.kill()

    with pytest.raises(TrainingError, match="another process of the training has died"):
        fit_emulator(snapshot, Emulator(**SMALL), tmp_path, progress=kill, devices=2)
    assert not multiprocessing.active_children()


def test_what_cannot_be_shared_is_refused(snapshot: Snapshot, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="shared evenly"):
        fit_emulator(
            snapshot,
            Emulator(**SMALL | {"batch_size": 33}),
            tmp_path,
            progress=ignore,
            devices=2,
        )
    assert not list(tmp_path.iterdir())
