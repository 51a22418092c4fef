"""How the kernel is compiled and cached, and the types of its arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

__all__ = [
    "LARGEST_TILE",
    "Bool",
    "Float32",
    "Float64",
    "Int32",
    "Int64",
    "Key",
    "Pixel",
    "UInt8",
    "UInt32",
    "UInt64",
    "Word",
    "as_kernel_input",
    "cache_folder",
    "cached",
    "compiled",
]

Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]
UInt32 = npt.NDArray[np.uint32]
UInt64 = npt.NDArray[np.uint64]

# Scalars: a value as an integer, an index into the flat arrays, 64 columns as bits.
Key = np.int32
Pixel = np.uint32
Word = np.uint64

# Pixels of the padded tile are indexed by uint32, and numbers of them held in int32.
LARGEST_TILE = 2**31 - 1

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function with numba, without the GIL, as a part of whatever calls it."""
    return cast("Function", numba.njit(nogil=True, error_model="numpy")(function))


def cached(function: Function) -> Function:
    """Compile a function that is called from Python, and keep it in numba's cache on disk.

    Numba takes a cached function for fresh as long as its own file has not changed. This one is
    fresh as long as no file has that its code comes from.
    """
    dispatcher = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    dispatcher._cache._cache_file._source_stamp = _digest_of_sources()
    return cast("Function", dispatcher)


def cache_folder(function: Callable[..., Any]) -> Path:
    """Return where numba keeps what it has made of a cached function."""
    return Path(cast("Any", function).stats.cache_path)


def _digest_of_sources() -> str:
    here = Path(__file__).parent
    sources = [here.parent / "functionals.py", here.parent / "neighbourhoods.py"]
    digest = hashlib.sha256()
    for source in sources + sorted(here.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def as_kernel_input(array: npt.NDArray[np.floating]) -> Float32:
    """Return a read-only, C-contiguous float32 view or copy of native byte order.

    Numba compiles anew for every combination of layout and writability that it meets (10 s each),
    so that the kernels are only ever given this one.
    """
    contiguous: Float32 = np.ascontiguousarray(array, dtype=np.float32).view()
    contiguous.flags.writeable = False
    return contiguous
