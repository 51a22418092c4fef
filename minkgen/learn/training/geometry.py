"""The Minkowski image loss beside a model's own: its surrogate, and how much it weighs when.

Shape suffixes: F functionals.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from minkgen.learn.analytical import AnalyticalGamma
from minkgen.learn.exact import ExactGamma
from minkgen.learn.minkowski_loss import MinkowskiLoss
from minkgen.learn.named import FUNCTIONALS
from minkgen.learn.surrogate import GammaDefinition
from minkgen.learn.training.devices import sum_over_ranks
from minkgen.learn.training.task import Moment
from minkgen.recipe import Analytical, Exact
from minkgen.recipe.superres import Geometry
from minkgen.store.snapshot import Snapshot

__all__ = [
    "GeometricSurrogate",
    "GradientNorms",
    "TrustedEmulator",
    "WeightedGeometry",
    "ramp_progress",
    "surrogate_identity",
]

# Batches whose gradients are averaged. The ratio of single batches scatters by a sixth.
MEASURED_BATCHES = 8


@dataclass(frozen=True)
class TrustedEmulator:
    """A trained emulator as a loss.

    Parameters
    ----------
    weights : Path
        `best.safetensors` of its run.
    run : str
        Digest of that run's identity.
    least_weight : float
        Trust at the 90th percentile of its error on validation tiles.
    """

    weights: Path
    run: str
    least_weight: float


GeometricSurrogate = Exact | Analytical | TrustedEmulator


def surrogate_identity(surrogate: GeometricSurrogate) -> dict[str, Any]:
    """Return, as plain containers, what makes a training with another surrogate another one."""
    if isinstance(surrogate, TrustedEmulator):
        return {"emulator": surrogate.run, "least_weight": surrogate.least_weight}
    kind = "exact" if isinstance(surrogate, Exact) else "analytical"
    return {kind: surrogate.model_dump(mode="json")}


def ramp_progress(moment: Moment, settings: Geometry) -> float:
    """Return how much of the ramp is over: 0 until the warm-up ends, 1 after the last epoch of it.

    Examples
    --------
    >>> geometry = Geometry(warm_up_epochs=1, ramp_epochs=2)
    >>> [ramp_progress(Moment(epoch, 1, 4), geometry) for epoch in (1, 2, 3, 4, 5)]
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    epochs_done = moment.epoch - 1 + (moment.batch - 1) / moment.batches
    return min(max((epochs_done - settings.warm_up_epochs) / settings.ramp_epochs, 0.0), 1.0)


@dataclass
class GradientNorms:
    """Norms of gradients at the network's output, summed over the first batches that have both.

    Attributes
    ----------
    own, geometric : float
        Of the model's own loss, and of the unweighted geometric one.
    batches : int
    """

    own: float = 0.0
    geometric: float = 0.0
    batches: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether the weight can be told."""
        return self.batches >= MEASURED_BATCHES

    def add(self, own: float, geometric: float) -> None:
        """Take a batch; one without any geometric gradient tells nothing."""
        if geometric != 0.0:
            self.own += own
            self.geometric += geometric
            self.batches += 1


class WeightedGeometry:
    """The geometric part of a model's loss: w(t) L_M of the field in mm/h.

    w(t) is 0 during the warm-up epochs; then it grows along half a cosine over the ramp epochs to
    its final value. Where the recipe gives none, this is gradient_ratio |∇ own| / |∇ L_M|, norms
    of the gradients at the network's output, averaged over the first batches after the warm-up;
    until then it is 0. (To the parameters, the gradient of the own loss all but vanishes by then,
    and the ratio of batches differs by ten.)

    Dry targets count as any others: their γ is 0, and so is the loss where a model leaves them dry.

    Parameters
    ----------
    snapshot : Snapshot
    settings : Geometry
        The recipe's section.
    surrogate : Exact or Analytical or TrustedEmulator

    Attributes
    ----------
    functionals : tuple of str
        Rows of γ that targets are to have.
    gradients : GradientNorms
        What changes while training.
    """

    def __init__(
        self, snapshot: Snapshot, settings: Geometry, surrogate: GeometricSurrogate
    ) -> None:
        self.settings = settings
        self.gradients = GradientNorms()
        self._loss = _loss(snapshot, settings, surrogate)
        self.functionals = self._loss.functionals
        self._temper(settings.temperature_scale)

    def to(self, device: torch.device) -> WeightedGeometry:
        """Move the surrogate."""
        self._loss.to(device)
        return self

    @property
    def full_epoch(self) -> int:
        """The epoch in which the weight has grown to its final value."""
        return self.settings.warm_up_epochs + self.settings.ramp_epochs

    def begins_after(self, epoch: int) -> bool:
        """Return whether an epoch is one of the warm-up, in which nothing is computed."""
        return epoch <= self.settings.warm_up_epochs

    def terms(
        self, rain_rate_BHW: Tensor, target_BHW: Tensor, gamma_BFQ: Tensor, moment: Moment
    ) -> Tensor:
        """Return the unweighted terms (F,), not a number where the field is none."""
        rain_rate_BHW = rain_rate_BHW.float()
        if not bool(rain_rate_BHW.isfinite().all()):
            return rain_rate_BHW.new_full((len(self.functionals),), math.nan)
        self._temper(self.temperature_scale(moment))
        with torch.autocast(rain_rate_BHW.device.type, enabled=False):
            return self._loss.terms(rain_rate_BHW, target_BHW, gamma_BFQ)

    @property
    def final_weight(self) -> float | None:
        """What the weight grows to; None while it is not known."""
        if self.settings.weight is not None:
            return self.settings.weight
        norms = self.gradients
        if not norms.is_complete:
            return None
        return self.settings.gradient_ratio * norms.own / norms.geometric

    def weight(self, moment: Moment) -> float:
        """Return w(t)."""
        share = 0.5 - 0.5 * math.cos(math.pi * ramp_progress(moment, self.settings))
        return share * (self.final_weight or 0.0)

    def temperature_scale(self, moment: Moment) -> float:
        """Return what temperatures are multiplied with: falling to 1 by equal ratios."""
        rest = 1.0 - ramp_progress(moment, self.settings)
        return float(self.settings.temperature_scale**rest)

    def measure(self, fabric: Fabric, output: Tensor, own: Tensor, terms_F: Tensor) -> None:
        """Take the gradients of a batch, if the weight is to follow from them.

        Parameters
        ----------
        fabric : Fabric
        output : Tensor (B, ...)
            What the network gave for this process's share of the batch.
        own, terms_F : Tensor
            The model's own loss, and the geometric terms, means over that share.
        """
        if self.settings.weight is None and not self.gradients.is_complete:
            samples = len(output)
            norms = [_gradient_norm(loss, output) for loss in (own, terms_F.sum())]
            squares = np.square(samples * np.array(norms))
            shared = sum_over_ranks(fabric, np.array([*squares, samples]))
            self.gradients.add(*(np.sqrt(shared[:2]) / shared[2]).tolist())

    def record(self, moment: Moment) -> dict[str, Any]:
        """Return what is recorded of a moment."""
        return {
            "weight": self.weight(moment),
            "final_weight": self.final_weight,
            "temperature_scale": self.temperature_scale(moment),
            "gradients": asdict(self.gradients),
        }

    def _temper(self, scale: float) -> None:
        surrogate = self._loss.surrogate
        if isinstance(surrogate, ExactGamma | AnalyticalGamma):
            surrogate.temper(scale)


def _loss(snapshot: Snapshot, settings: Geometry, surrogate: GeometricSurrogate) -> MinkowskiLoss:
    least_trust = {}
    if isinstance(surrogate, TrustedEmulator):
        chosen: Any = surrogate.weights
        least_trust = {"least_trust": surrogate.least_weight}
    else:
        definition = GammaDefinition.of(snapshot)
        if isinstance(surrogate, Exact):
            chosen = ExactGamma(definition, FUNCTIONALS, surrogate).eval()
        else:
            chosen = AnalyticalGamma(definition, surrogate, FUNCTIONALS).eval()
    return MinkowskiLoss(
        snapshot, chosen, pixel_km=snapshot.pixel_km, measure=settings.measure, **least_trust
    )


def _gradient_norm(loss: Tensor, output: Tensor) -> float:
    """Return the norm of a loss's gradient; the graph stays. Not a number if the loss is none."""
    if not bool(loss.isfinite()):
        return math.nan
    (gradient,) = torch.autograd.grad(loss, output, retain_graph=True)
    return float(torch.linalg.vector_norm(gradient.float()))
