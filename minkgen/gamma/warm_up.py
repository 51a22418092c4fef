"""Compilation of the kernel before it is needed."""

from __future__ import annotations

import fcntl
import functools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from minkgen.gamma.kernel.batches import gamma_batch
from minkgen.gamma.kernel.compiled import cache_folder
from minkgen.gamma.kernel.soft import pull_back
from minkgen.gamma.matrix import gamma_matrix
from minkgen.gamma.pairs import persistence_pairs
from minkgen.gamma.soft import SoftGamma
from minkgen.gamma.weights import weight_maps

__all__ = ["warm_up", "warm_up_soft"]


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


@functools.cache
def warm_up_soft() -> None:
    """Compile what `SoftGamma` needs, or read it from the cache: in turns, and once a process."""
    soft_gamma = SoftGamma([1.0], [0.1], pixel_km=1.0, drizzle_mm_h=0.1, functionals=["area"])
    with _alone(cache_folder(pull_back)):
        pixel = np.zeros((1, 1), np.float32)
        soft_gamma.hard(pixel)
        soft_gamma.soft(pixel)
        soft_gamma.push_forward(pixel, pixel)
        soft_gamma.pull_back(pixel, pixel)


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Wait until no other process is in here with the same cache; one that dies has left."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "minkgen-warm-up.lock").open("a") as lock:
        # On a file system without locks several compile: longer, but to the same end.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
