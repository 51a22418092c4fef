"""The geometric loss of super-resolution: weight, temperatures, surrogates, and their effect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from minkgen.errors import InputError, TrainingError
from minkgen.learn import MinkowskiLoss
from minkgen.learn.checkpoints import read_checkpoint
from minkgen.learn.superres.data import SceneTiles
from minkgen.learn.superres.weights import load_superres
from minkgen.learn.training import BEST, LAST, TrustedEmulator, fit_emulator, training_finished
from minkgen.learn.training.geometry import MEASURED_BATCHES, WeightedGeometry, ramp_progress
from minkgen.learn.training.task import Moment
from minkgen.recipe import Analytical, Emulator, Exact
from minkgen.recipe.superres import Geometry
from minkgen.store.snapshot import Snapshot
from tests.learn.test_superres_training import THREE, fit, small, store_of
from tests.learn.test_training import InterruptedRunError, ignore, lines, stop_at

pytestmark = pytest.mark.filterwarnings("ignore:the store has no terrain")


def test_the_gradient_ratio_holds_when_it_is_measured_again(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    # So slow that the weights stay what they are.
    geometry = {"warm_up_epochs": 1, "ramp_epochs": 1, "gradient_ratio": 0.7}
    settings = small(learning_rate=1e-12, weight_decay=0.0, epochs=3, geometry=geometry)
    fit(snapshot, settings, tmp_path)
    weight = lines(tmp_path)[-1]["geometry"]["final_weight"]
    model = load_superres(tmp_path / BEST, snapshot).requires_grad_(True)
    loss = MinkowskiLoss(snapshot, pixel_km=2.0)
    tiles = SceneTiles(snapshot, store_of(snapshot), settings, THREE)
    batches = [*tiles.epoch(2), *tiles.epoch(3)][:MEASURED_BATCHES]
    norms = np.zeros(2)
    for scene, target, gamma in batches:
        objective = model.objective(scene, target)
        geometric = loss(objective.rain_rate, target, gamma)
        for place, term in enumerate((objective.loss, geometric)):
            objective.output.retain_grad()
            objective.output.grad = None
            term.backward(retain_graph=True)
            assert objective.output.grad is not None
            norms[place] += float(objective.output.grad.norm())
    assert weight * norms[1] / norms[0] == pytest.approx(0.7, rel=1e-3)


def test_the_weight_grows_along_half_a_cosine(snapshot: Snapshot) -> None:
    settings = Geometry(weight=2e-3, warm_up_epochs=2, ramp_epochs=4, temperature_scale=4.0)
    geometry = WeightedGeometry(snapshot, settings, Exact())
    moments = [Moment(epoch, batch, 2) for epoch in (1, 2, 3, 4, 5, 6, 7) for batch in (1, 2)]
    assert [ramp_progress(moment, settings) for moment in moments] == [
        *[0.0] * 4,
        *[eighth / 8 for eighth in range(9)],
        1.0,
    ]
    expected = [1e-3 * (1.0 - np.cos(np.pi * ramp_progress(each, settings))) for each in moments]
    assert [geometry.weight(moment) for moment in moments] == pytest.approx(expected, abs=1e-12)
    scales = [geometry.temperature_scale(Moment(epoch, 1, 2)) for epoch in (1, 3, 5, 7)]
    assert scales == pytest.approx([4.0, 4.0, 2.0, 1.0])


@pytest.mark.parametrize("surrogate", [Exact(), Analytical()])
def test_temperatures_are_annealed(snapshot: Snapshot, surrogate: Exact | Analytical) -> None:
    settings = Geometry(weight=1.0, warm_up_epochs=0, ramp_epochs=2, temperature_scale=3.0)
    geometry = WeightedGeometry(snapshot, settings, surrogate)
    plain = WeightedGeometry(snapshot, Geometry(weight=1.0, warm_up_epochs=0), surrogate)
    (batch,) = [next(iter(SceneTiles(snapshot, store_of(snapshot), small(), THREE).epoch(1)))]
    gradients = []
    for each, epoch in ((geometry, 1), (geometry, 3), (plain, 1)):
        field = (0.8 * batch.target).requires_grad_()
        each.terms(field, batch.target, batch.gamma, Moment(epoch, 1, 5)).sum().backward()
        assert field.grad is not None
        gradients.append(field.grad)
    assert not torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[1], gradients[2])


def test_a_start_that_is_too_soft_is_refused_at_once(snapshot: Snapshot, tmp_path: Path) -> None:
    settings = small(geometry={"temperature_scale": 1e3})
    with pytest.raises(InputError, match="step"):
        fit(snapshot, settings, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_geometric_loss_reaches_the_network(snapshot: Snapshot, tmp_path: Path) -> None:
    geometry = {"warm_up_epochs": 1, "ramp_epochs": 1, "gradient_ratio": 3.0}
    found = {}
    for surrogate in ("none", "exact"):
        settings = small(minkowski=surrogate, geometry=geometry, epochs=5)
        fit(snapshot, settings, tmp_path / surrogate)
        found[surrogate] = lines(tmp_path / surrogate)
    # Until the weight is more than nothing, all is the same.
    assert found["exact"][0]["validation"] == found["none"][0]["validation"]
    loss, plain = (found[each][-1]["validation"]["loss"]["total"] for each in ("exact", "none"))
    assert loss < 0.97 * plain


def test_the_analytical_loss_is_measured_and_lowered(snapshot: Snapshot, tmp_path: Path) -> None:
    geometry = {"warm_up_epochs": 0, "ramp_epochs": 1, "gradient_ratio": 10.0}
    settings = small(minkowski="analytical", geometry=geometry, batch_size=10, epochs=2)
    fit(snapshot, settings, tmp_path)
    first, second = lines(tmp_path)
    assert first["geometry"]["gradients"]["batches"] == MEASURED_BATCHES
    assert second["geometry"]["weight"] == second["geometry"]["final_weight"] > 0.0
    assert sum(second["train"][name] for name in THREE) < sum(first["train"][n] for n in THREE)


def test_an_emulator_is_trusted_as_the_recipe_says(snapshot: Snapshot, tmp_path: Path) -> None:
    settings = Emulator(widths=(8,), latent=8, batch_size=64, epochs=1, mixup=False)
    fit_emulator(snapshot, settings, tmp_path / "emulator", progress=ignore)
    weights = tmp_path / "emulator" / BEST
    geometry = {"warm_up_epochs": 0, "ramp_epochs": 1, "weight": 0.01}
    terms = []
    for least_weight in (0.05, 0.9):
        folder = tmp_path / f"{least_weight}"
        surrogate = TrustedEmulator(weights, "0123", least_weight)
        fit(
            snapshot,
            small(minkowski="emulator", geometry=geometry, epochs=1),
            folder,
            surrogate=surrogate,
        )
        terms.append(lines(folder)[0]["train"])
        assert read_checkpoint(folder / LAST)["identity"]["surrogate"] == {
            "emulator": "0123",
            "least_weight": least_weight,
        }
    assert all(terms[0][name] < terms[1][name] for name in THREE), terms
    with pytest.raises(TrainingError, match="least_weight"):
        fit(
            snapshot,
            small(minkowski="emulator", geometry=geometry, epochs=1),
            tmp_path / "0.9",
            surrogate=TrustedEmulator(weights, "0123", 0.05),
        )


def test_patience_waits_for_the_loss_to_be_what_it_will_be(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    geometry = {"warm_up_epochs": 1, "ramp_epochs": 2, "weight": 1e-4}
    for surrogate, epochs in (("none", 2), ("exact", 4)):
        still = {"learning_rate": 1e-30, "patience": 1, "epochs": 9, "batch_size": 100}
        settings = small(minkowski=surrogate, geometry=geometry, **still)
        folder = tmp_path / surrogate
        assert fit(snapshot, settings, folder).epochs == epochs
        assert training_finished(folder)
    halted = tmp_path / "halted"
    with pytest.raises(InterruptedRunError):
        fit(snapshot, settings, halted, stop_at(3, 0))
    assert not training_finished(halted)
    assert not training_finished(tmp_path / "absent")


def test_a_checkpoint_of_another_surrogate_is_refused(snapshot: Snapshot, tmp_path: Path) -> None:
    settings = small(epochs=1)
    fit(snapshot, settings, tmp_path)
    softer = Exact(temperature_factor=0.2)
    with pytest.raises(TrainingError, match=r"surrogate\.exact\.temperature_factor"):
        fit(snapshot, settings, tmp_path, surrogate=softer)


def test_autocast_leaves_gamma_in_float32(snapshot: Snapshot, tmp_path: Path) -> None:
    geometry = {"warm_up_epochs": 0, "ramp_epochs": 1}
    settings = small(precision="bf16-mixed", epochs=2, geometry=geometry, batch_size=50)
    seen = []
    terms = WeightedGeometry.terms

    def watched(self: WeightedGeometry, *arguments: Any) -> torch.Tensor:
        found = terms(self, *arguments)
        seen.append((found.dtype, torch.is_autocast_enabled("cpu")))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WeightedGeometry, "terms", watched)
        fit(snapshot, settings, tmp_path)
    assert seen == [(torch.float32, False)] * 4
