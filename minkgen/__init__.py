"""Exact geometric training targets from weather radar.

>>> import minkgen
>>> import numpy as np
>>> minkgen.gamma_matrix(np.ones((4, 4), np.float32), [0.5, 2.0], pixel_km=2.0)[0]
array([64.,  0.], dtype=float32)
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minkgen.gamma.functionals import FUNCTIONALS
    from minkgen.gamma.matrix import gamma_matrix
    from minkgen.gamma.pairs import persistence_pairs
    from minkgen.gamma.weights import weight_maps
    from minkgen.opera.odim import open_composite
    from minkgen.store.snapshot import open_features

__all__ = [
    "FUNCTIONALS",
    "__version__",
    "gamma_matrix",
    "open_composite",
    "open_features",
    "persistence_pairs",
    "weight_maps",
]

__version__ = version("minkgen")

# Loaded on first use: `minkgen --help` must not wait for numba, and a GPU node has no h5py.
_HOMES = {
    "FUNCTIONALS": "minkgen.gamma.functionals",
    "gamma_matrix": "minkgen.gamma.matrix",
    "open_composite": "minkgen.opera.odim",
    "open_features": "minkgen.store.snapshot",
    "persistence_pairs": "minkgen.gamma.pairs",
    "weight_maps": "minkgen.gamma.weights",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'minkgen' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
