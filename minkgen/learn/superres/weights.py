"""Models of super-resolution by their settings and by their files of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from minkgen.errors import InputError, TrainingError
from minkgen.learn.checkpoints import read_tensors, require_same
from minkgen.learn.superres.diffusion import ConditionalDiffusion
from minkgen.learn.superres.flow import ResidualFlow
from minkgen.learn.superres.model import SuperResolver
from minkgen.learn.superres.unet import ResidualUNet
from minkgen.recipe import SuperResolution
from minkgen.store.snapshot import Snapshot

__all__ = ["build_superres", "load_superres", "superres_identity"]


def superres_identity(snapshot: Snapshot, settings: SuperResolution) -> dict[str, Any]:
    """Return, as plain containers, what makes a training run another run when it differs."""
    return {
        "snapshot": snapshot.hash,
        "design": {
            "log_max": snapshot.log_max,
            "pixel_km": snapshot.pixel_km,
            "tile_size": snapshot.tile_size,
        },
        "settings": settings.model_dump(mode="json"),
    }


def build_superres(
    snapshot: Snapshot, settings: SuperResolution, *, mean: Path | None = None
) -> SuperResolver:
    """Return an untrained model, on the CPU.

    Parameters
    ----------
    snapshot : Snapshot
    settings : SuperResolution
    mean : Path, optional
        `best.safetensors` of the trained U-Net that a flow stands on; its upsampling and features
        are those of the flow. It becomes part of the flow, frozen.

    Raises
    ------
    InputError
        If tiles cannot be halved so often as there are features; if a flow is given no mean.
    TrainingError
        If the mean cannot be read, is no U-Net, or was trained on something else.
    """
    multiple = 2 ** (len(settings.features) - 1)
    if snapshot.tile_size % multiple:
        raise InputError(
            "tiles cannot be halved as often as the network does",
            where="superres.features",
            got=f"{len(settings.features)} stages for tiles of {snapshot.tile_size} pixels",
            expected=f"tiles whose side is a multiple of {multiple}",
            hint="give superres.features fewer stages",
        )
    model = _new(snapshot.log_max, settings)
    if isinstance(model, ResidualFlow):
        if mean is None:
            raise InputError(
                "a flow stands on a trained U-Net",
                where="superres.model",
                expected="the best.safetensors of a training run of model unet",
                hint="train with superres.model: unet first",
            )
        _load_mean(model, mean, snapshot, settings)
    return model


def load_superres(path: str | Path, snapshot: Snapshot) -> SuperResolver:
    """Load a trained model, frozen and in evaluation mode, on the CPU.

    Parameters
    ----------
    path : str or Path
        A run's `best.safetensors`.
    snapshot : Snapshot
        Whose tiles it will see; another one than it was trained on is refused.

    Raises
    ------
    TrainingError
        If the file is missing, damaged, of another kind of network, or of another snapshot.
    """
    tensors, content = read_tensors(Path(path))
    identity = content["identity"]
    settings = _settings(identity, path)
    require_same(identity, superres_identity(snapshot, settings), where=path)
    model = _new(snapshot.log_max, settings)
    model.load_state_dict(tensors)
    return model.requires_grad_(False).eval()


def _settings(identity: dict[str, Any], path: str | Path) -> SuperResolution:
    try:
        return SuperResolution.model_validate(identity["settings"])
    except ValidationError as error:
        raise TrainingError(
            "the weights are of no model of super-resolution",
            where=path,
            got=f"settings with {', '.join(sorted(identity['settings']))}",
            expected="the best.safetensors of `minkgen train sr`",
        ) from error


def _new(log_max: float, settings: SuperResolution) -> SuperResolver:
    if settings.model == "unet":
        return ResidualUNet(log_max, settings.features)
    if settings.model == "ddpm":
        return ConditionalDiffusion(log_max, settings.features, settings.diffusion)
    return ResidualFlow(ResidualUNet(log_max, settings.features), settings.features, settings.flow)


def _load_mean(
    flow: ResidualFlow, path: Path, snapshot: Snapshot, settings: SuperResolution
) -> None:
    """Give a flow the weights of the U-Net that it stands on."""
    tensors, content = read_tensors(path)
    require_same(
        _as_mean(content["identity"]),
        _as_mean(superres_identity(snapshot, settings.model_copy(update={"model": "unet"}))),
        where=path,
    )
    flow.mean.load_state_dict(tensors)


def _as_mean(identity: dict[str, Any]) -> dict[str, Any]:
    """Return what a U-Net must be to be a flow's mean; how it was trained is free."""
    settings = identity["settings"]
    shared = {name: settings.get(name) for name in ("model", "features", "upsampling")}
    return {"snapshot": identity["snapshot"], "design": identity["design"], **shared}
