"""How two snapshots differ: samples, frames, thresholds, floors, and the keys of their recipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.recipe import leaves
from minkgen.store.snapshot import SPLITS, Snapshot

__all__ = ["Comparison", "Overlap", "compare"]


@dataclass(frozen=True)
class Overlap:
    """How many things are only in the one snapshot, only in the other, and in both."""

    only_first: int
    only_second: int
    both: int


@dataclass(frozen=True)
class Comparison:
    """How two snapshots differ.

    Attributes
    ----------
    first, second : str
        Their names.
    samples : dict of str to Overlap
        By split; a sample is known by time, row and column.
    frames : Overlap
        Times that samples come from, over all splits.
    settings : dict of str to tuple
        What differs among recipe, thresholds, floors, normalisation, inputs and versions, by its
        path, with both values.
    """

    first: str
    second: str
    samples: dict[str, Overlap]
    frames: Overlap
    settings: dict[str, tuple[Any, Any]]


_COMPARED = (
    "recipe",
    "thresholds",
    "floors",
    "normalisation",
    "inputs",
    "grid",
    "own_grid",
    "tile_size",
    "code_version",
    "library_versions",
)


def compare(first: Snapshot, second: Snapshot) -> Comparison:
    """Return how two snapshots differ."""
    samples, times = {}, ([np.zeros(0, np.int64)], [np.zeros(0, np.int64)])
    for split in SPLITS:
        keys = [_samples(snapshot, split) for snapshot in (first, second)]
        samples[split] = _overlap(*(key for key, _ in keys))
        for side, (_, time) in zip(times, keys, strict=True):
            side.append(time)
    frames = _overlap(*(np.unique(np.concatenate(side)) for side in times))
    return Comparison(first.name, second.name, samples, frames, _settings(first, second))


def _samples(snapshot: Snapshot, split: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return what identifies the samples of a split, as one number each, and their times."""
    time, row, column = (
        np.asarray(snapshot.array(split, name)[:], np.int64) for name in ("time", "row", "column")
    )
    return time << 32 | row << 16 | column, time


def _overlap(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> Overlap:
    both = len(np.intersect1d(first, second, assume_unique=True))
    return Overlap(len(first) - both, len(second) - both, both)


def _settings(first: Snapshot, second: Snapshot) -> dict[str, tuple[Any, Any]]:
    one, other = (
        leaves({key: snapshot.metadata.get(key) for key in _COMPARED})
        for snapshot in (first, second)
    )
    paths = sorted(path for path in one | other if one.get(path) != other.get(path))
    return {path: (one.get(path), other.get(path)) for path in paths}
