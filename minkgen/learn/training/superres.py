"""Training of super-resolution.

The objective is the model's own loss, and from some epoch on the weighted Minkowski image loss of
its field. The epoch that is kept is never chosen by squared errors of pixels: dry ones dominate
them, and they are least where a field is too smooth.

Shape suffixes: B samples, F functionals, Q thresholds, H rows (north first), W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from minkgen.learn.exact import ExactGamma
from minkgen.learn.losses import sample_terms
from minkgen.learn.named import FUNCTIONALS
from minkgen.learn.superres.data import SceneBatch, SceneTiles, scenes_in_order
from minkgen.learn.superres.interpolation import Interpolation
from minkgen.learn.superres.model import SuperResolver
from minkgen.learn.superres.weights import build_superres, superres_identity
from minkgen.learn.surrogate import GammaDefinition
from minkgen.learn.training.devices import sum_over_ranks
from minkgen.learn.training.fit import fit
from minkgen.learn.training.geometry import (
    GeometricSurrogate,
    GradientNorms,
    WeightedGeometry,
    surrogate_identity,
)
from minkgen.learn.training.reports import TrainingProgress, TrainingSummary
from minkgen.learn.training.steps import seed_batch
from minkgen.learn.training.task import FloatArray, Moment, Task, on_device, with_total
from minkgen.recipe import SuperResolution
from minkgen.store.snapshot import Snapshot

__all__ = ["fit_superres", "training_identity"]

# Training batches that a generative model measures its residual on: millions of pixels.
SCALE_BATCHES = 8


def fit_superres(
    snapshot: Snapshot,
    store: Path,
    settings: SuperResolution,
    folder: Path,
    *,
    surrogate: GeometricSurrogate | None = None,
    mean: Path | None = None,
    progress: Callable[[TrainingProgress], None],
    devices: int = 1,
) -> TrainingSummary:
    """Train a model of super-resolution, or go on where an earlier process stopped.

    Parameters
    ----------
    snapshot : Snapshot
        Splits `train` and `validation` are used.
    store : Path
        The snapshot's store, which has the terrain.
    settings : SuperResolution
        The recipe's section; `batch_size` samples of all processes make one step.
    surrogate : Exact or Analytical or TrustedEmulator, optional
        Of the geometric loss, where `settings.minkowski` asks for one.
    mean : Path, optional
        `best.safetensors` of the U-Net that a flow stands on.
    folder, progress, devices
        As for `minkgen.learn.training.fit.fit`.

    Returns
    -------
    TrainingSummary
        `best_loss` is, of a model that gives one mean field, MAE / MAE of the interpolation + L_M /
        L_M of the interpolation, all over the validation split with exact γ in the counting
        measure: 2 is no better than the interpolation. Of a generative model it is its own loss
        there, with noise that depends on the seed alone.

    Raises
    ------
    EmptySplitError
        If a split has no wet tile; nothing is written.
    InputError, TrainingError, TrainingStopped
        As `fit` does; and where the model cannot be built.
    """
    task = partial(
        _SuperResTask,
        snapshot=snapshot,
        store=store,
        settings=settings,
        surrogate=surrogate,
        mean=mean,
    )
    return fit(task, settings, folder, section="superres", progress=progress, devices=devices)


def training_identity(
    snapshot: Snapshot, settings: SuperResolution, surrogate: GeometricSurrogate | None
) -> dict[str, Any]:
    """Return, as plain containers, what makes a training another run when it differs."""
    return superres_identity(snapshot, settings) | _trained_with(surrogate)


def _trained_with(surrogate: GeometricSurrogate | None) -> dict[str, Any]:
    return {} if surrogate is None else {"surrogate": surrogate_identity(surrogate)}


class _SuperResTask(Task):
    """A model of super-resolution at the start of its training."""

    learning_rate_key = "superres.learning_rate"

    def __init__(
        self,
        fabric: Fabric,
        snapshot: Snapshot,
        store: Path,
        settings: SuperResolution,
        surrogate: GeometricSurrogate | None,
        mean: Path | None,
    ) -> None:
        self.settings: SuperResolution = settings
        self.identity = superres_identity(snapshot, settings)
        self.trained_with = _trained_with(surrogate)
        self.gradient_clip = settings.gradient_clip
        self._fabric, self._snapshot, self._store = fabric, snapshot, store
        self._geometry: WeightedGeometry | None = None
        functionals: tuple[str, ...] = FUNCTIONALS
        if surrogate is not None:
            geometry = WeightedGeometry(snapshot, settings.geometry, surrogate)
            self._geometry, functionals = geometry.to(fabric.device), geometry.functionals
            self.patience_begins = geometry.full_epoch
        self.training = SceneTiles(
            snapshot,
            store,
            settings,
            functionals,
            rank=fabric.global_rank,
            ranks=fabric.world_size,
            device=fabric.device,
        )
        self._validation = _Validation(fabric, snapshot, store, settings)
        model = build_superres(snapshot, settings, mean=mean).to(fabric.device)
        model.prepare(self._first_scenes())
        wrapped = on_device(fabric, model)
        # Through DDP, which then shares the gradients.
        wrapped.mark_forward_method("objective")
        self.modules = {"model": wrapped}
        self.optimizer = fabric.setup_optimizers(
            torch.optim.AdamW(
                self.parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
            )
        )

    def _first_scenes(self) -> Iterator[Any]:
        """Yield training scenes and targets: the same in every process, whatever their number."""
        tiles = SceneTiles(
            self._snapshot, self._store, self.settings, FUNCTIONALS, device=self._fabric.device
        )
        for batch in islice(tiles.epoch(0), SCALE_BATCHES):
            yield batch.scene, batch.target

    def term_names(self, epoch: int) -> tuple[str, ...]:
        if self._geometry is None or self._geometry.begins_after(epoch):
            return ("own",)
        return ("own", *self._geometry.functionals)

    def terms(self, batch: SceneBatch, moment: Moment) -> Tensor:
        rounding = self.settings.precision == "bf16-mixed"
        with torch.autocast(self._fabric.device.type, torch.bfloat16, enabled=rounding):
            objective = self.modules["model"].objective(batch.scene, batch.target)
        own: Tensor = objective.loss.float()
        if self._geometry is None or self._geometry.begins_after(moment.epoch):
            return own[None]
        terms_F = self._geometry.terms(objective.rain_rate, batch.target, batch.gamma, moment)
        self._geometry.measure(self._fabric, objective.output, own, terms_F)
        return torch.cat((own[None], terms_F))

    def loss(self, terms_T: Tensor, moment: Moment) -> Tensor:
        own, geometry = terms_T[0], self._geometry
        if geometry is None or len(terms_T) == 1:
            return own
        weight = geometry.weight(moment)
        return own + weight * terms_T[1:].sum() if weight else own

    def headline(self, means_T: FloatArray) -> float:
        return float(means_T[0])

    def training_record(self, means_T: FloatArray, epoch: int) -> dict[str, Any]:
        terms = zip(self.term_names(epoch), means_T.tolist(), strict=True)
        record: dict[str, Any] = {"train": dict(terms)}
        if self._geometry is not None:
            batches = self.training.batches
            record["geometry"] = self._geometry.record(Moment(epoch, batches, batches))
        return record

    def validate(self) -> dict[str, Any]:
        started = perf_counter()
        # Not through DDP, which would wait for processes that have a batch less.
        model = self.modules["model"].module.eval()
        if model.is_generative:
            measured = {"validation": {"score": self._validation.own_loss(model)}}
        else:
            measured = self._validation.relative_scores(model)
        return {**measured, "validation_seconds": perf_counter() - started}

    def score(self, record: dict[str, Any]) -> float:
        return float(record["validation"]["score"])

    def state(self) -> dict[str, Any]:
        if self._geometry is None:
            return {}
        return {
            "geometry": vars(self._geometry.gradients).copy(),
            "patience_begins": self.patience_begins,
        }

    def load_state(self, checkpoint: dict[str, Any]) -> None:
        if self._geometry is not None:
            self._geometry.gradients = GradientNorms(**checkpoint["geometry"])


class _Validation:
    """The validation split, of which every process measures its share of the batches.

    All is computed in float32, as it is by those who use the weights.
    """

    def __init__(
        self, fabric: Fabric, snapshot: Snapshot, store: Path, settings: SuperResolution
    ) -> None:
        self._fabric, self._settings = fabric, settings
        self._scenes = partial(
            scenes_in_order,
            snapshot,
            store,
            settings,
            "validation",
            FUNCTIONALS,
            settings.batch_size,
            device=fabric.device,
        )
        self._gamma = ExactGamma(GammaDefinition.of(snapshot), FUNCTIONALS).eval()
        self._interpolation = Interpolation(snapshot.log_max).eval()
        self._interpolated: dict[str, Any] | None = None

    def _batches(self) -> Iterator[tuple[int, SceneBatch]]:
        fabric = self._fabric
        for number, (_, batch) in enumerate(self._scenes()):
            if number % fabric.world_size == fabric.global_rank:
                yield number, fabric.to_device(batch)

    @torch.no_grad()
    def own_loss(self, model: SuperResolver) -> float:
        """Return a generative model's loss, with the same noise in every epoch."""
        sums = np.zeros(2)
        for number, batch in self._batches():
            # Epoch 0 is no epoch of a training.
            seed_batch(self._settings.seed, 0, number, 0)
            loss = float(model.objective(batch.scene, batch.target).loss)
            sums += [loss * len(batch.target), len(batch.target)]
        total, samples = sum_over_ranks(self._fabric, sums).tolist()
        return float(total / samples)

    def relative_scores(self, model: SuperResolver) -> dict[str, Any]:
        """Return MAE and L_M of a model and of the interpolation, and the score made of them."""
        if self._interpolated is None:
            self._interpolated = self._errors(self._interpolation)
        ours, theirs = self._errors(model), self._interpolated
        score = ours["mae"] / theirs["mae"] + ours["loss"]["total"] / theirs["loss"]["total"]
        return {"validation": {"score": score, **ours}, "interpolation": theirs}

    @torch.no_grad()
    def _errors(self, model: SuperResolver) -> dict[str, Any]:
        """Return the mean absolute error in mm/h and the terms of L_M, of exact γ."""
        sums = np.zeros(2 + len(FUNCTIONALS))
        for _, batch in self._batches():
            (field_BHW,) = model.sample(batch.scene)
            samples = len(field_BHW)
            mae = (field_BHW - batch.target).abs().mean()
            terms_F = mae.new_full((len(FUNCTIONALS),), torch.nan)
            if bool(field_BHW.isfinite().all()):
                gamma_BFQ = self._gamma(field_BHW)
                terms_F = sample_terms(
                    gamma_BFQ, batch.gamma, torch.ones_like(gamma_BFQ[0, 0])
                ).mean(dim=0)
            means = [1.0, mae.item(), *terms_F.tolist()]
            sums += samples * np.array(means)
        samples, mae, *terms = sum_over_ranks(self._fabric, sums).tolist()
        return {"mae": mae / samples, "loss": with_total(FUNCTIONALS, np.array(terms) / samples)}
