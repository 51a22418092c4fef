"""Trained weights and states of a training: written whole, read without running code in them.

TensorFile are one safetensors file, whose header holds as JSON what they are the weights of: they
cannot be parted from it. The state from which a training goes on is torch's own format, of tensors
and plain containers only. Both name the snapshot and the settings they belong to: an emulator's
thresholds, units and normalisation are those of its snapshot, and using it with another one is
refused.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from minkgen.errors import TrainingError
from minkgen.learn.emulators import EmulatorDesign, EmulatorNetwork
from minkgen.learn.surrogate import GammaDefinition
from minkgen.recipe import Emulator, canonical_json, differences
from minkgen.store.files import write_bytes
from minkgen.store.snapshot import Snapshot

__all__ = [
    "TensorFile",
    "design_of",
    "load_emulator",
    "read_checkpoint",
    "read_tensors",
    "require_same",
    "run_identity",
    "write_checkpoint",
    "write_tensors",
]

FORMAT = 2
# The one entry of a file's header that is ours.
_HEADER = "minkgen"
# What torch raises for files that are cut short, empty, or no checkpoints at all.
_UNREADABLE = (
    SafetensorError,
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    KeyError,
    pickle.UnpicklingError,
)


class TensorFile(NamedTuple):
    """Tensors and what they are: the weights of a network, say.

    Attributes
    ----------
    tensors : dict of str to Tensor
        Of weights: a network's `state_dict`.
    content : dict
        Plain containers; of weights, `identity` is what `run_identity` returned.
    """

    tensors: dict[str, Tensor]
    content: dict[str, Any]


def design_of(snapshot: Snapshot, settings: Emulator) -> EmulatorDesign:
    """Return what an emulator of a snapshot is built from."""
    return EmulatorDesign(
        definition=GammaDefinition.of(snapshot),
        architecture=settings.architecture,
        perimeter=settings.perimeter,
        widths=settings.widths,
        latent=settings.latent,
        log_max=snapshot.log_max,
        tile_size=snapshot.tile_size,
    )


def run_identity(snapshot: Snapshot, settings: Emulator) -> dict[str, Any]:
    """Return, as plain containers, what makes a training run another run when it differs."""
    return {
        "snapshot": snapshot.hash,
        "design": design_of(snapshot, settings).as_dict(),
        "settings": settings.model_dump(mode="json"),
    }


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint; a reader, or a crash, sees the old one or the new one."""
    stream = io.BytesIO()
    torch.save({"format": FORMAT, **content}, stream)
    write_bytes(path, stream.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint into the memory of the CPU.

    Raises
    ------
    TrainingError
        If the file is missing, damaged, or of another format.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    return _of_this_format(content, path)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], content: Mapping[str, Any]) -> None:
    """Write tensors and, as JSON in the header, what they are; whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = canonical_json({"format": FORMAT, **content})
    write_bytes(path, save(plain, {_HEADER: header}))


def read_tensors(path: Path) -> TensorFile:
    """Read what `write_tensors` wrote into the memory of the CPU.

    Raises
    ------
    TrainingError
        If the file is missing, damaged, or of another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            content = json.loads((file.metadata() or {}).get(_HEADER, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    return TensorFile(tensors, _of_this_format(content, path))


def _unreadable(path: Path, error: Exception) -> TrainingError:
    if isinstance(error, FileNotFoundError):
        return TrainingError(
            "there is no checkpoint", where=path, hint="run `minkgen train emulator` first"
        )
    reason = str(error).partition("\n")[0]
    return TrainingError(
        "the checkpoint cannot be read",
        where=path,
        got=f"{type(error).__name__} {reason}".rstrip(),
        hint="if the file is damaged, remove the run's folder and train again",
    )


def _of_this_format(content: Any, path: Path) -> dict[str, Any]:
    version = content.get("format") if isinstance(content, dict) else None
    if version != FORMAT:
        raise TrainingError(
            "the checkpoint is of an unknown format", where=path, got=version, expected=FORMAT
        )
    loaded: dict[str, Any] = content
    return loaded


def require_same(found: dict[str, Any], expected: dict[str, Any], *, where: object) -> None:
    """Refuse a checkpoint of another snapshot, or of other settings.

    Parameters
    ----------
    found, expected : dict
        What `run_identity` returned for the checkpoint, and for its user.
    where : object
        The checkpoint.

    Raises
    ------
    TrainingError
        Naming every entry that differs.
    """
    differing = differences(found, expected)
    if differing is not None:
        raise TrainingError(
            "the checkpoint belongs to another run",
            where=where,
            got=differing[0],
            expected=differing[1],
            hint="train on this snapshot, or open the snapshot that the checkpoint names",
        )


def load_emulator(path: str | Path, snapshot: Snapshot | None = None) -> EmulatorNetwork:
    """Load a trained emulator, frozen and in evaluation mode, on the CPU.

    Parameters
    ----------
    path : str or Path
        A run's `best.safetensors`.
    snapshot : Snapshot, optional
        The snapshot whose tiles it will see; another one than it was trained on is refused.

    Returns
    -------
    EmulatorNetwork
        Called as `emulator(rain_rate_BHW) -> gamma_BFQ`, in physical units.

    Raises
    ------
    TrainingError
        If the file is missing, damaged, or of another snapshot.
    """
    tensors, content = read_tensors(Path(path))
    identity = content["identity"]
    if snapshot is not None:
        settings = Emulator.model_validate(identity["settings"])
        require_same(identity, run_identity(snapshot, settings), where=path)
    emulator = EmulatorNetwork(EmulatorDesign.from_dict(identity["design"]))
    emulator.load_state_dict(tensors)
    emulator.requires_grad_(False)
    return emulator.eval()
