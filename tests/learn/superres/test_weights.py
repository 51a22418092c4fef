from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from minkgen.errors import InputError, TrainingError
from minkgen.learn.checkpoints import run_identity, write_tensors
from minkgen.learn.superres.flow import ResidualFlow
from minkgen.learn.superres.model import SuperResolver
from minkgen.learn.superres.weights import build_superres, load_superres, superres_identity
from minkgen.recipe import Emulator, SuperResolution
from minkgen.store.snapshot import Snapshot
from tests.learn.superres.made_up import moved, wet_scenes

SETTINGS = {"features": (8, 8), "diffusion": {"sampling_steps": 3}, "flow": {"sampling_steps": 3}}


def settings_of(model: str, **changes: Any) -> SuperResolution:
    return SuperResolution.model_validate({"model": model, **SETTINGS, **changes})


def keep(model: SuperResolver, snapshot: Snapshot, settings: SuperResolution, path: Path) -> Path:
    identity = superres_identity(snapshot, settings)
    write_tensors(path, model.state_dict(), {"identity": identity})
    return path


def trained(
    snapshot: Snapshot, settings: SuperResolution, path: Path, mean: Path | None = None
) -> SuperResolver:
    """Keep a model whose weights are anything but new, and return it."""
    model = build_superres(snapshot, settings, mean=mean)
    model.prepare([wet_scenes(4)])
    keep(moved(model, by=0.02), snapshot, settings, path)
    return model.eval()


@pytest.fixture
def mean(snapshot: Snapshot, tmp_path: Path) -> Path:
    trained(snapshot, settings_of("unet"), tmp_path / "mean.safetensors")
    return tmp_path / "mean.safetensors"


@pytest.mark.parametrize("name", ["unet", "ddpm", "flow"])
def test_what_is_loaded_is_what_was_kept(
    name: str, snapshot: Snapshot, mean: Path, tmp_path: Path
) -> None:
    path, settings = tmp_path / "best.safetensors", settings_of(name)
    model = trained(snapshot, settings, path, mean if name == "flow" else None)
    mean.unlink()  # A flow has it inside.
    loaded = load_superres(path, snapshot)
    assert type(loaded) is type(model)
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())
    scene = wet_scenes(3)[0]
    drawn, again = (
        each.sample(scene, members=2, generator=torch.Generator().manual_seed(1))
        for each in (model, loaded)
    )
    assert torch.equal(drawn, again)
    assert loaded.is_generative is (name != "unet")
    assert loaded.sampling_steps == (1 if name == "unet" else 3)


def test_a_flow_stands_on_the_mean_it_was_given(snapshot: Snapshot, mean: Path) -> None:
    scene, _ = wet_scenes(4)
    flow = build_superres(snapshot, settings_of("flow"), mean=mean)
    assert isinstance(flow, ResidualFlow)
    given = load_superres(mean, snapshot).sample(scene)[0]
    assert torch.equal(flow.rain_rate(flow.baseline(scene)), given)
    assert not torch.allclose(given, scene.low, atol=0.1)
    with pytest.raises(InputError, match="stands on a trained U-Net"):
        build_superres(snapshot, settings_of("flow"))


@pytest.mark.parametrize(
    ("entry", "changes", "named"),
    [
        ("hash", {"hash": "fedcba9876543210"}, "snapshot"),
        ("normalisation", {"normalisation": {"log1p_max": 9.0}}, "design.log_max"),
        ("pixels", {"pixel_km": 1.0}, "design.pixel_km"),
    ],
)
def test_another_snapshot_is_refused(
    entry: str, changes: dict[str, Any], named: str, snapshot: Snapshot, mean: Path
) -> None:
    other = replace(snapshot, metadata=snapshot.metadata | changes)
    with pytest.raises(TrainingError, match="another run") as refused:
        load_superres(mean, other)
    assert str(refused.value.got).startswith(named), entry
    with pytest.raises(TrainingError, match="another run"):
        build_superres(other, settings_of("flow"), mean=mean)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"features": (8, 16)}, "features"), ({"upsampling": "nearest"}, "upsampling")],
)
def test_a_mean_with_other_scenes_or_features_is_refused(
    changes: dict[str, Any], named: str, snapshot: Snapshot, mean: Path
) -> None:
    with pytest.raises(TrainingError, match="another run") as refused:
        build_superres(snapshot, settings_of("flow", **changes), mean=mean)
    assert str(refused.value.got).startswith(named)
    # How it was trained is free.
    build_superres(snapshot, settings_of("flow", seed=3, epochs=1), mean=mean)


def test_a_mean_that_is_no_unet_is_refused(snapshot: Snapshot, tmp_path: Path) -> None:
    path = tmp_path / "ddpm.safetensors"
    trained(snapshot, settings_of("ddpm"), path)
    with pytest.raises(TrainingError, match="another run") as refused:
        build_superres(snapshot, settings_of("flow"), mean=path)
    assert refused.value.got == "model: ddpm"


def test_weights_of_an_emulator_are_refused(snapshot: Snapshot, tmp_path: Path) -> None:
    path = tmp_path / "emulator.safetensors"
    identity = run_identity(snapshot, Emulator())
    write_tensors(path, {"weight": torch.zeros(1)}, {"identity": identity})
    with pytest.raises(TrainingError, match="no model of super-resolution"):
        load_superres(path, snapshot)
    with pytest.raises(TrainingError, match="another run"):
        build_superres(snapshot, settings_of("flow"), mean=path)


def test_more_stages_than_a_tile_has_halves_are_refused(snapshot: Snapshot) -> None:
    odd = replace(snapshot, metadata=snapshot.metadata | {"tile_size": 24})
    with pytest.raises(InputError, match="halved") as refused:
        build_superres(odd, settings_of("unet", features=(8,) * 5))
    assert refused.value.where == "superres.features"


def test_the_identity_is_plain(snapshot: Snapshot) -> None:
    identity = superres_identity(snapshot, settings_of("flow"))
    assert json.loads(json.dumps(identity)) == identity
    assert identity["design"]["log_max"] == snapshot.log_max
