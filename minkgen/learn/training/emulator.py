"""Training of an emulator.

The objective is the Minkowski image loss in the counting measure, its three terms weighted by
learned scales (`HomoscedasticWeights`) or by those of the recipe. The network that is kept is the
one with the least unweighted counting loss on the validation split.

Shape suffixes: B samples, F functionals, Q thresholds, H rows (north first), W columns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from minkgen.learn.checkpoints import design_of, run_identity
from minkgen.learn.data import Batch, ShuffledTiles, reader_on
from minkgen.learn.emulators import EmulatorNetwork
from minkgen.learn.emulators.network import input_gradient_norms, spectral_product
from minkgen.learn.losses import FixedWeights, HomoscedasticWeights, minkowski_terms
from minkgen.learn.training.devices import sum_over_ranks
from minkgen.learn.training.fit import fit
from minkgen.learn.training.reports import TrainingProgress, TrainingSummary
from minkgen.learn.training.task import FloatArray, Moment, Task, on_device, with_total
from minkgen.learn.trust import error_percentile, squared_log_error
from minkgen.recipe import Emulator
from minkgen.store.snapshot import Snapshot

__all__ = ["fit_emulator"]

# Targets from which the network and the weights start. log1p γ deviates by up to 3 from its mean,
# which is therefore known to 0.03 or better.
CALIBRATION_SAMPLES = 8192


def fit_emulator(
    snapshot: Snapshot,
    settings: Emulator,
    folder: Path,
    *,
    progress: Callable[[TrainingProgress], None],
    devices: int = 1,
) -> TrainingSummary:
    """Train an emulator, or go on where an earlier process stopped.

    Parameters
    ----------
    snapshot : Snapshot
        Splits `train` and `validation` are used.
    settings : Emulator
        The recipe's section; `batch_size` samples of all processes make one step.
    folder, progress, devices
        As for `minkgen.learn.training.fit.fit`.

    Returns
    -------
    TrainingSummary

    Raises
    ------
    EmptySplitError
        If a split has no wet tile; nothing is written.
    InputError, TrainingError, TrainingStopped
        As `fit` does.
    """
    task = partial(_EmulatorTask, snapshot=snapshot, settings=settings)
    return fit(task, settings, folder, section="emulator", progress=progress, devices=devices)


class _EmulatorTask(Task):
    """An emulator at the start of its training: from the climatology of the targets."""

    learning_rate_key = "emulator.learning_rate"
    training: ShuffledTiles

    def __init__(self, fabric: Fabric, snapshot: Snapshot, settings: Emulator) -> None:
        self.settings: Emulator = settings
        self.identity = run_identity(snapshot, settings)
        self.trained_with = {}
        self._fabric, self._snapshot = fabric, snapshot
        self._functionals = design_of(snapshot, settings).functionals
        self.training = self._share_of_training()
        self._validation = reader_on(fabric.device, snapshot, "validation", self._functionals)
        emulator, weights = self._beginning()
        self.modules = {
            "emulator": on_device(fabric, emulator),
            "weights": on_device(fabric, weights),
        }
        self.optimizer = fabric.setup_optimizers(
            torch.optim.Adam(
                [each for module in self.modules.values() for each in module.parameters()],
                lr=settings.learning_rate,
                weight_decay=settings.weight_decay,
            )
        )

    def _share_of_training(self) -> ShuffledTiles:
        settings, fabric = self.settings, self._fabric
        reader = reader_on(
            fabric.device,
            self._snapshot,
            "train",
            self._functionals,
            mixup=settings.mixup,
            max_tiles=settings.max_tiles,
        )
        return ShuffledTiles(
            reader,
            batch_size=settings.batch_size // fabric.world_size,
            seed=settings.seed,
            rank=fabric.global_rank,
            ranks=fabric.world_size,
        )

    def _beginning(self) -> tuple[EmulatorNetwork, nn.Module]:
        """Return the network and the weights of the terms, before the first step."""
        gamma_SFQ = self.training.reader.gamma_sample(CALIBRATION_SAMPLES)
        logs_SFQ = np.log1p(gamma_SFQ.astype(np.float64))
        climatology_FQ = logs_SFQ.mean(axis=0)
        deviation_F = np.abs(logs_SFQ - climatology_FQ).mean(axis=(0, 2))
        design = design_of(self._snapshot, self.settings)
        emulator = EmulatorNetwork(design, input_noise=self.settings.input_noise)
        emulator.heads.start_from(climatology_FQ)
        if self.settings.term_weights == "learned":
            errors_F = torch.as_tensor(deviation_F, dtype=torch.float32)
            return emulator, HomoscedasticWeights(errors_F)
        return emulator, FixedWeights(torch.tensor(self.settings.term_weights))

    def term_names(self, epoch: int) -> tuple[str, ...]:
        return self._functionals

    def terms(self, batch: Batch, moment: Moment) -> Tensor:
        rain_rate_BHW, gamma_BFQ = batch
        rounding = self.settings.precision == "bf16-mixed"
        with torch.autocast(self._fabric.device.type, torch.bfloat16, enabled=rounding):
            predicted_BFQ = self.modules["emulator"](rain_rate_BHW)
        return minkowski_terms(predicted_BFQ, gamma_BFQ, torch.ones_like(gamma_BFQ[0, 0]))

    def loss(self, terms_T: Tensor, moment: Moment) -> Tensor:
        objective: Tensor = self.modules["weights"](terms_T / len(self._snapshot.thresholds))
        return objective

    def headline(self, means_T: FloatArray) -> float:
        return float(means_T.sum())

    def training_record(self, means_T: FloatArray, epoch: int) -> dict[str, Any]:
        weights_F = self.modules["weights"].weights.detach().cpu().numpy()
        return {
            "weights": dict(zip(self._functionals, map(float, weights_F), strict=True)),
            "train": with_total(self._functionals, means_T),
        }

    def score(self, record: dict[str, Any]) -> float:
        return float(record["validation"]["counting"]["total"])

    def kept(self, record: dict[str, Any]) -> dict[str, Any]:
        return {"error_p90": record["error_p90"]}

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Return the terms of L_M over the validation split, and how smooth the network is.

        Every process takes its share of the batches. All is computed in float32, as it is by those
        who use the weights.

        Returns
        -------
        dict
            `validation` (both forms of L_M), `error_p90` (what trust is calibrated by),
            `input_gradient` (of the first batch, in the process that has it), `spectral_product`,
            `validation_seconds`.
        """
        started = perf_counter()
        fabric, validation = self._fabric, self._validation
        # Not through DDP, which would wait for processes that have a batch less.
        emulator = self.modules["emulator"].module.eval()
        measures = {
            "counting": np.ones(len(self._snapshot.thresholds)),
            "measure": self._snapshot.measure,
        }
        sums = {name: np.zeros(len(self._functionals)) for name in measures}
        errors = np.zeros(validation.samples)
        gradients: dict[str, float] = {}
        for number, batch in enumerate(validation.in_order(self.settings.batch_size)):
            if number % fabric.world_size != fabric.global_rank:
                continue
            rain_rate_BHW, gamma_BFQ = fabric.to_device(batch)
            if number == 0:
                norms_B = input_gradient_norms(emulator, rain_rate_BHW)
                median, high = torch.quantile(norms_B, norms_B.new_tensor([0.5, 0.99])).tolist()
                gradients = {"median": median, "p99": high}
            predicted_BFQ = emulator(rain_rate_BHW)
            first = number * self.settings.batch_size
            error_B = squared_log_error(predicted_BFQ, gamma_BFQ).cpu().numpy()
            errors[first : first + len(error_B)] = error_B
            for name, measure in measures.items():
                measure_Q = torch.as_tensor(measure, dtype=torch.float32, device=fabric.device)
                terms_F = minkowski_terms(predicted_BFQ, gamma_BFQ, measure_Q)
                sums[name] += terms_F.cpu().numpy() * len(gamma_BFQ)
        means = {
            name: sum_over_ranks(fabric, sums_F) / validation.samples
            for name, sums_F in sums.items()
        }
        return {
            "validation": {
                name: with_total(self._functionals, means_F) for name, means_F in means.items()
            },
            "error_p90": error_percentile(sum_over_ranks(fabric, errors)),
            "input_gradient": gradients,
            "spectral_product": spectral_product(emulator),
            "validation_seconds": perf_counter() - started,
        }
