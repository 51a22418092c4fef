"""Compilation of the kernel before it is needed."""

from __future__ import annotations

import numpy as np

from minkgen.gamma.matrix import gamma_matrix
from minkgen.gamma.pairs import persistence_pairs
from minkgen.gamma.weights import weight_maps

__all__ = ["warm_up"]


def warm_up() -> None:
    """Compile the kernel, or read it from numba's cache on disk.

    Processes that share a cache directory must not fill it at the same time: warm up once before
    workers start, or give each node its own ``NUMBA_CACHE_DIR``.
    """
    pixel = np.zeros((1, 1), np.float32)
    gamma_matrix(pixel, [1.0], pixel_km=1.0)
    persistence_pairs(pixel)
    weight_maps(pixel, pixel_km=1.0)
