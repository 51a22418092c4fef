"""Compilation of the kernel before it is needed."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from minkgen.gamma.kernel.batches import gamma_batch
from minkgen.gamma.kernel.compiled import cache_folder
from minkgen.gamma.matrix import gamma_matrix
from minkgen.gamma.pairs import persistence_pairs
from minkgen.gamma.weights import weight_maps

__all__ = ["warm_up"]


def warm_up() -> None:
    """Compile the kernel, or read it from numba's cache on disk.

    Processes that share a cache take turns: the first one compiles, all others read what it has
    made.
    """
    with _alone(cache_folder(gamma_batch)):
        pixel = np.zeros((1, 1), np.float32)
        gamma_matrix(pixel, [1.0], pixel_km=1.0)
        persistence_pairs(pixel)
        weight_maps(pixel, pixel_km=1.0)


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Wait until no other process is in here with the same cache; one that dies has left."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "minkgen-warm-up.lock").open("a") as lock:
        # On a file system without locks several compile: longer, but to the same end.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
