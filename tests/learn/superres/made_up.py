"""Scenes of made-up rain for models, and what tests do with models."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from minkgen.learn.superres.model import Scene, SuperResolver
from minkgen.tiles.coarsening import coarsen, refine
from tests.learn.conftest import SIZE, rain

FEATURES = (16, 32)
LOG_MAX = 5.0
PIXEL_KM = 2.0


def wet_scenes(count: int) -> tuple[Scene, Tensor]:
    """Return scenes of smooth rain with their targets, the first of them dry."""
    tiles = rain(count, seed=1)
    low = refine(coarsen(tiles, PIXEL_KM), (SIZE, SIZE), PIXEL_KM).astype(np.float32)
    terrain = torch.randn(tiles.shape, generator=torch.Generator().manual_seed(2))
    return Scene(torch.from_numpy(low), terrain), torch.from_numpy(tiles)


def moved(model: SuperResolver, by: float = 0.1) -> SuperResolver:
    """Return the model with all weights moved at random, the frozen ones as they are."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight += by * torch.randn(weight.shape, generator=random)
    return model


def fit(model: SuperResolver, scene: Scene, target_BHW: Tensor, steps: int) -> list[float]:
    """Train on one batch with a learning rate that rises and falls; return the losses."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, 5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    losses = []
    for _ in range(steps):
        loss = model.objective(scene, target_BHW).loss
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def log_error(model: SuperResolver, fields: Tensor, target_BHW: Tensor) -> float:
    """Return the mean square error of normalised fields."""
    difference = model.normalised(fields) - model.normalised(target_BHW)
    return difference.square().mean().item()


def require_gradients(model: SuperResolver, scene: Scene, target_BHW: Tensor) -> None:
    """Check that the gradients of loss and field reach every weight that is trained.

    And the output that both are made of, pixel by pixel.
    """
    for name in ("loss", "rain_rate"):
        objective = model.objective(scene, target_BHW)
        value = getattr(objective, name).sum()
        (at_output,) = torch.autograd.grad(value, objective.output, retain_graph=True)
        assert at_output.shape == target_BHW.shape
        assert (at_output != 0.0).float().mean() > 0.3, name
        model.zero_grad()
        torch.autograd.backward(value)
        _require_gradients_of_weights(model)


def _require_gradients_of_weights(model: SuperResolver) -> None:
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None, name
            assert weight.grad.isfinite().all(), name
            assert weight.grad.abs().sum() > 0.0, name
        else:
            assert weight.grad is None, name
