"""Checkpoints: tensors and plain containers, written whole, read without running any code in them.

A checkpoint names the snapshot and the settings it belongs to. An emulator's thresholds, units and
normalisation are those of its snapshot, so that using it with another one is refused.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from minkgen.errors import TrainingError
from minkgen.learn.emulators import ConstrainedEmulator, EmulatorDesign
from minkgen.recipe import Emulator, differences
from minkgen.store.files import write_bytes
from minkgen.store.snapshot import Snapshot

__all__ = [
    "design_of",
    "load_emulator",
    "read_checkpoint",
    "require_same",
    "run_identity",
    "write_checkpoint",
]

FORMAT = 1
# What torch raises for files that are cut short, empty, or no checkpoints at all.
_UNREADABLE = (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError)


def design_of(snapshot: Snapshot, settings: Emulator) -> EmulatorDesign:
    """Return what an emulator of a snapshot is built from."""
    return EmulatorDesign(
        widths=settings.widths,
        latent=settings.latent,
        thresholds=tuple(float(threshold) for threshold in snapshot.thresholds),
        log_max=snapshot.log_max,
        tile_size=snapshot.tile_size,
        pixel_km=snapshot.pixel_km,
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
    except FileNotFoundError as error:
        raise TrainingError(
            "there is no checkpoint", where=path, hint="run `minkgen train emulator` first"
        ) from error
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0]
        raise TrainingError(
            "the checkpoint cannot be read",
            where=path,
            got=f"{type(error).__name__} {reason}".rstrip(),
            hint="if the file is damaged, remove the run's folder and train again",
        ) from error
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


def load_emulator(path: str | Path, snapshot: Snapshot | None = None) -> ConstrainedEmulator:
    """Load a trained emulator, frozen and in evaluation mode, on the CPU.

    Parameters
    ----------
    path : str or Path
        A checkpoint: a run's `best.pt` (or `last.pt`).
    snapshot : Snapshot, optional
        The snapshot whose tiles it will see; another one than it was trained on is refused.

    Returns
    -------
    ConstrainedEmulator
        Called as `emulator(rain_rate_BHW) -> gamma_BFQ`, in physical units.

    Raises
    ------
    TrainingError
        If the checkpoint is missing, damaged, or of another snapshot.
    """
    checkpoint = read_checkpoint(Path(path))
    identity = checkpoint["identity"]
    if snapshot is not None:
        settings = Emulator.model_validate(identity["settings"])
        require_same(identity, run_identity(snapshot, settings), where=path)
    emulator = ConstrainedEmulator(EmulatorDesign.from_dict(identity["design"]))
    emulator.load_state_dict(checkpoint["emulator"])
    emulator.requires_grad_(False)
    return emulator.eval()
