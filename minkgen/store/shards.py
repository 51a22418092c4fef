"""Rows of a sharded array in any order: each chunk that holds one of them is fetched once.

Reading scattered chunks through zarr costs 0.5 to 0.7 ms a request on top of inflating: it opens
the shard and reads its index every time. Here the index of a shard is kept, the requests of a call
go out together, and each chunk is inflated into one and the same memory. A chunk of 16 tiles so
takes 0.5 ms, and one of their γ 0.02 ms, where zarr needs 1.3 and 0.7 ms. The format is that of the
Zarr specification (codec `sharding_indexed`), with the codecs of `store.layout`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from numcodecs.checksum32 import CRC32C
from numcodecs.zstd import Zstd

from minkgen.errors import StoreError
from minkgen.store.remote import RemoteFolder

__all__ = ["ShardedRows"]

_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_CHECKSUM_BYTES = 4
_DAMAGE = "restore the file from a copy, or compute the snapshot again; `minkgen verify` tells more"
# What an index has as offset and length of a chunk that was never written.
_UNWRITTEN = np.iinfo(np.uint64).max

IndexArray = npt.NDArray[np.intp]
# Name of a file, first byte (negative: from the end), end.
_Range = tuple[str, int, int | None]


class ShardedRows:
    """The rows of an array, by number.

    Parameters
    ----------
    folder : Path or RemoteFolder
        The array's own folder.
    array : zarr.Array
        The same array, for its metadata.

    Raises
    ------
    StoreError
        If the array is not laid out as `store.build` does it.
    """

    def __init__(self, folder: Path | RemoteFolder, array: zarr.Array[Any]) -> None:
        self._folder = folder
        _require_layout(folder, array)
        self._chunk_shape = array.chunks
        self._dtype = array.dtype
        self._rows_per_chunk = array.chunks[0]
        self._chunks_per_shard = (array.shards or array.chunks)[0] // array.chunks[0]
        self._indexes: dict[int, npt.NDArray[np.uint64]] = {}

    def chunks(self, rows: IndexArray) -> Iterator[tuple[IndexArray, IndexArray, npt.NDArray[Any]]]:
        """Read the chunks that hold some rows, in the order of the store.

        Parameters
        ----------
        rows : array of int, shape (n,)
            Row numbers in any order.

        Yields
        ------
        positions : array of int, shape (k,)
            Where, in `rows`, the rows of this chunk stand.
        places : array of int, shape (k,)
            Where they stand in the chunk.
        values : ndarray
            The chunk. The caller may change it; the next chunk overwrites it.

        Raises
        ------
        StoreError
            If a chunk is missing or damaged.
        """
        if len(rows) == 0:
            return
        numbers, of_row = np.unique(rows // self._rows_per_chunk, return_inverse=True)
        by_chunk = np.argsort(of_row, kind="stable")
        positions = np.split(by_chunk, np.cumsum(np.bincount(of_row))[:-1])
        values = np.empty(self._chunk_shape, self._dtype)
        for number, raw, chosen in zip(numbers, self._fetch(numbers), positions, strict=True):
            self._inflate(raw, values, number)
            yield chosen, rows[chosen] - number * self._rows_per_chunk, values

    def _fetch(self, numbers: IndexArray) -> list[bytes]:
        """Return chunks as they are stored."""
        shards, places = np.divmod(numbers, self._chunks_per_shard)
        self._read_indexes(sorted(set(shards.tolist()) - self._indexes.keys()))
        ranges: list[_Range] = []
        for number, shard, place in zip(numbers, shards, places, strict=True):
            offset, length = self._indexes[shard][place].tolist()
            if offset == _UNWRITTEN:
                raise StoreError(
                    "a chunk was never written",
                    where=self._folder,
                    got=f"chunk {number}",
                    hint=_DAMAGE,
                )
            ranges.append((self._file(shard), offset, offset + length))
        return self._read(ranges)

    def _read_indexes(self, shards: Sequence[int]) -> None:
        size = 16 * self._chunks_per_shard + _CHECKSUM_BYTES
        found = self._read([(self._file(shard), -size, None) for shard in shards])
        for shard, raw in zip(shards, found, strict=True):
            try:
                content = CRC32C(location="end").decode(raw)
            except RuntimeError as error:
                raise StoreError(
                    "the index of a shard is damaged",
                    where=f"{self._folder}/{self._file(shard)}",
                    got=error,
                    hint=_DAMAGE,
                ) from error
            self._indexes[shard] = np.frombuffer(content, "<u8").reshape(-1, 2)

    def _inflate(self, raw: bytes, values: npt.NDArray[Any], number: int) -> None:
        try:
            Zstd().decode(raw, values)
        except (RuntimeError, ValueError) as error:
            raise StoreError(
                "a chunk is damaged",
                where=self._folder,
                got=f"chunk {number}: {error}",
                hint=_DAMAGE,
            ) from error

    def _file(self, shard: int) -> str:
        return f"c/{shard}" + "/0" * (len(self._chunk_shape) - 1)

    def _read(self, ranges: Sequence[_Range]) -> list[bytes]:
        if not ranges:
            return []
        if isinstance(self._folder, RemoteFolder):
            return self._folder.read_ranges(ranges)
        return [_read_local(self._folder, *one) for one in ranges]


def _read_local(folder: Path, name: str, start: int, stop: int | None) -> bytes:
    try:
        with (folder / name).open("rb", buffering=0) as file:
            file.seek(start, os.SEEK_SET if start >= 0 else os.SEEK_END)
            return file.read(-1 if stop is None else stop - start)
    except OSError as error:
        raise StoreError(
            "a shard cannot be read", where=folder / name, got=error, hint=_DAMAGE
        ) from error


def _require_layout(folder: Path | RemoteFolder, array: zarr.Array[Any]) -> None:
    """Refuse an array of which the bytes would not be understood."""
    metadata = json.loads(json.dumps(array.metadata.to_dict(), default=str))
    codecs = metadata["codecs"]
    sharding = codecs[0].get("configuration", {})
    if not (
        [codec["name"] for codec in codecs] == ["sharding_indexed"]
        and [codec["name"] for codec in sharding["codecs"]] == ["bytes", "zstd"]
        and sharding["codecs"][0] == _BYTES
        and sharding["index_codecs"] == [_BYTES, {"name": "crc32c"}]
        and sharding["index_location"] == "end"
        and metadata["chunk_key_encoding"]["name"] == "default"
        and array.chunks[1:] == array.shape[1:] == (array.shards or ())[1:]
    ):
        raise StoreError(
            "the array is not laid out as minkgen writes it",
            where=folder,
            got=codecs,
            expected="shards of whole rows, little-endian, zstd, the index at the end",
        )
