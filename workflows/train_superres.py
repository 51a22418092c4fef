"""Train: where the run of a model of super-resolution lies."""

from __future__ import annotations

from pathlib import Path

from minkgen.learn.superres.weights import superres_identity
from minkgen.recipe import SuperResolution, digest
from minkgen.store.layout import StorePaths
from minkgen.store.snapshot import Snapshot

__all__ = ["superres_run"]


def superres_run(store: Path, snapshot: Snapshot, settings: SuperResolution) -> Path:
    """Return the folder of the run that trains these settings on this snapshot."""
    identity = digest(superres_identity(snapshot, settings))
    return StorePaths(store.absolute()).runs / f"superres-{identity[:8]}"
