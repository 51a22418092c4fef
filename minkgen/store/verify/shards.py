"""What is in the files of a Zarr array, told from their names and indices, without decoding."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import zarr

from minkgen.errors import StoreError

__all__ = ["chunk_files", "expected_chunk_files", "filled_chunks"]

_EMPTY = np.uint64(2**64 - 1)
_CHECKSUM_BYTES = 4


def chunk_files(folder: Path) -> set[str]:
    """Return the names, such as `c/0/0/0`, of the files of an array besides its metadata."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "zarr.json"
    }


def expected_chunk_files(array: zarr.Array[Any]) -> set[str]:
    """Return the names of the files that an array has when every chunk or shard is written.

    A scalar (`spatial_ref`) holds nothing but attributes and has none.
    """
    if array.ndim == 0:
        return set()
    sizes = array.shards or array.chunks
    counts = [math.ceil(length / size) for length, size in zip(array.shape, sizes, strict=True)]
    return {"/".join(("c", *map(str, place))) for place in product(*map(range, counts))}


def filled_chunks(shard: Path, chunks: int) -> npt.NDArray[np.bool_]:
    """Return which inner chunks of a shard hold data, from the index at its end.

    A chunk that was never written, or that was written with nothing but the fill value, has no
    place in the file.

    Parameters
    ----------
    shard : Path
    chunks : int
        Number of inner chunks.

    Returns
    -------
    ndarray of bool, shape (chunks,)
        All False where there is no such file.

    Raises
    ------
    StoreError
        If the file is no whole shard.
    """
    if not shard.exists():
        return np.zeros(chunks, np.bool_)
    index_bytes = 16 * chunks + _CHECKSUM_BYTES
    size = shard.stat().st_size
    with shard.open("rb") as stream:
        stream.seek(max(0, size - index_bytes))
        tail = stream.read()
    index = tail[:-_CHECKSUM_BYTES]
    if len(tail) < index_bytes or tail[-_CHECKSUM_BYTES:] != _checksum(index):
        raise StoreError(
            "a shard is damaged",
            where=shard,
            got=f"{size} bytes whose index does not fit its checksum",
            expected=f"an index of {chunks} chunks at its end",
        )
    offsets, lengths = np.frombuffer(index, "<u8").reshape(-1, 2).T
    filled: npt.NDArray[np.bool_] = offsets != _EMPTY
    ends = offsets[filled] + lengths[filled]
    if (ends > size - index_bytes).any():
        raise StoreError(
            "a shard is cut off", where=shard, got=f"{size} bytes", expected=f"{ends.max()} or more"
        )
    return filled


def _checksum(data: bytes) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(_CHECKSUM_BYTES, "little")
