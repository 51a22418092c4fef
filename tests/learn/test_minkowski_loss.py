"""The Minkowski image loss as a module: its value, its gradients, and what it refuses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from minkgen.errors import InputError
from minkgen.learn import MinkowskiLoss
from minkgen.learn.checkpoints import load_emulator
from minkgen.learn.data import TileReader
from minkgen.learn.surrogate import GammaDefinition, Surrogate
from minkgen.learn.training import BEST, fit_emulator
from minkgen.learn.trust import Trust, squared_log_error
from minkgen.recipe import Emulator
from minkgen.store.snapshot import Snapshot
from tests.learn.conftest import THRESHOLDS, gamma_of, rain

DEFINITION = GammaDefinition(THRESHOLDS, pixel_km=2.0, floors=(0.5, 0.5))
THREE = ("area", "perimeter", "components")


def tiles(count: int, seed: int) -> Tensor:
    fields = torch.from_numpy(rain(count + 1, seed=seed))
    return fields[1:]  # the first is dry


@pytest.mark.parametrize("measure", ["counting", "grid"])
def test_its_value_is_the_loss_of_exact_gamma(snapshot: Snapshot, measure: Any) -> None:
    loss = MinkowskiLoss(snapshot, pixel_km=2.0, measure=measure)
    predicted, target = tiles(6, seed=3), tiles(6, seed=4)
    rows = slice(0, 3)
    logs = [np.log1p(gamma_of(field.numpy())[:, rows]) for field in (predicted, target)]
    assert loss.functionals == THREE
    weights = np.ones(len(THRESHOLDS)) if measure == "counting" else snapshot.measure
    expected = (np.abs(logs[0] - logs[1]) * weights).sum(axis=(1, 2)).mean()
    assert loss(predicted, target).item() == pytest.approx(expected, rel=1e-5)
    assert loss.terms(predicted, target).sum().item() == pytest.approx(expected, rel=1e-5)
    assert loss(target, target).item() == 0.0


@pytest.mark.parametrize("surrogate", ["exact", "analytical"])
def test_a_step_down_its_gradient_makes_it_smaller(surrogate: str) -> None:
    loss = MinkowskiLoss(DEFINITION, surrogate, pixel_km=2.0)
    target = tiles(4, seed=4)
    field = nn.Parameter(0.9 * target)
    first = loss(field, target)
    optimizer = torch.optim.Adam([field], lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        loss(field, target).backward()
        optimizer.step()
    assert loss(field, target).item() < 0.75 * first.item()


def test_gamma_of_the_store_is_that_of_its_tiles(snapshot: Snapshot) -> None:
    loss = MinkowskiLoss(snapshot, pixel_km=2.0)
    stored = next(TileReader(snapshot, "validation", THREE).in_order(8))
    predicted = 0.7 * stored.rain_rate
    assert loss(predicted, stored.rain_rate, stored.gamma) == loss(predicted, stored.rain_rate)


class Halved(Surrogate):
    """Says half of the exact area, and nothing of the rest."""

    def forward(self, rain_rate_BHW: Tensor) -> Tensor:
        area_BQ = torch.stack(
            [(rain_rate_BHW >= each).sum(dim=(1, 2)) * 2.0 for each in self.thresholds], dim=1
        )
        return torch.stack([area_BQ, *[torch.zeros_like(area_BQ)] * 2], dim=1)


def test_an_emulator_that_errs_on_the_truth_counts_less() -> None:
    loss = MinkowskiLoss(DEFINITION, Halved(DEFINITION, THREE), pixel_km=2.0)
    predicted, target = tiles(2, seed=3), tiles(2, seed=4)
    untrusting = [loss(predicted[i : i + 1], target[i : i + 1]).item() for i in range(2)]
    loss.trust = Trust(kappa=0.3)
    gamma = loss.target_gamma(target)
    error = (torch.log1p(loss.surrogate(target)) - torch.log1p(gamma)).square().mean(dim=(1, 2))
    weights = torch.exp(-0.3 * error).tolist()
    assert weights[0] != weights[1]
    expected = np.mean([w * each for w, each in zip(weights, untrusting, strict=True)])
    assert loss(predicted, target).item() == pytest.approx(expected, rel=1e-5)


def test_another_pixel_size_is_refused(snapshot: Snapshot) -> None:
    with pytest.raises(InputError, match="another pixel size") as caught:
        MinkowskiLoss(snapshot, pixel_km=1.0)
    assert "2 km" in str(caught.value)


@pytest.mark.parametrize(
    "strange",
    [
        lambda target: torch.log1p(target) / math.log1p(30.0),
        lambda target: 2.0 * torch.log1p(target) / math.log1p(30.0) - 1.0,
        lambda target: target / target.max(),
        lambda target: torch.where(target == 0.0, math.nan, target),
        lambda target: torch.where(target == 0.0, math.inf, target),
    ],
    ids=["log1p", "log1p to [-1, 1]", "share of maximum", "missing", "infinite"],
)
def test_a_target_that_is_no_rain_rate_is_refused(strange: Any) -> None:
    loss = MinkowskiLoss(DEFINITION, pixel_km=2.0)
    target = tiles(4, seed=4)
    with pytest.raises(InputError, match="no rain rate in mm/h"):
        loss(target, strange(target))


def test_shapes_that_do_not_fit_are_refused() -> None:
    loss = MinkowskiLoss(DEFINITION, pixel_km=2.0)
    target = tiles(2, seed=4)
    for predicted in (target[:1], target[:, None], target[0]):
        with pytest.raises(InputError, match="cannot be compared"):
            loss(predicted, target)
    with pytest.raises(InputError, match="another shape"):
        loss(target, target, loss.target_gamma(target)[:, :2])


def test_gamma_of_other_tiles_is_refused() -> None:
    loss = MinkowskiLoss(DEFINITION, pixel_km=2.0)
    target = tiles(3, seed=4)
    gamma = loss.target_gamma(target)
    assert loss(target, target, gamma) == 0.0
    with pytest.raises(InputError, match="not that of the targets"):
        loss(target, target, gamma.flip(0))
    with pytest.raises(InputError, match="not that of the targets"):
        loss(target, target, 4.0 * gamma)


def test_unknown_names_are_refused(snapshot: Snapshot) -> None:
    with pytest.raises(InputError, match="no such surrogate"):
        MinkowskiLoss(snapshot, "exakt", pixel_km=2.0)
    with pytest.raises(InputError, match="no such measure"):
        MinkowskiLoss(snapshot, pixel_km=2.0, measure="log")  # type: ignore[arg-type]


def test_a_definition_has_no_integration_weights() -> None:
    with pytest.raises(InputError, match="no integration weights"):
        MinkowskiLoss(DEFINITION, pixel_km=2.0, measure="grid")


def test_a_trained_emulator_brings_its_trust(snapshot: Snapshot, tmp_path: Path) -> None:
    settings = Emulator(widths=(8,), latent=8, epochs=1, batch_size=32)
    fit_emulator(snapshot, settings, tmp_path, progress=lambda _: None)
    loss = MinkowskiLoss(snapshot, tmp_path / BEST, pixel_km=2.0, least_trust=0.1)
    emulator = load_emulator(tmp_path / BEST, snapshot)
    batches = list(TileReader(snapshot, "validation", THREE).in_order(16))
    errors = torch.cat([squared_log_error(emulator(tiles), gamma) for tiles, gamma in batches])
    assert loss.trust is not None
    expected = -math.log(0.1) / np.percentile(errors.numpy(), 90.0)
    assert loss.trust.kappa == pytest.approx(expected, rel=1e-4)
    assert loss(0.9 * batches[0].rain_rate, batches[0].rain_rate) > 0.0
    with pytest.raises(InputError, match="belongs to a snapshot"):
        MinkowskiLoss(DEFINITION, tmp_path / BEST, pixel_km=2.0)
