"""Rows read chunk by chunk are those that zarr reads; what is damaged or missing is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec

from minkgen.errors import StoreError
from minkgen.store.layout import zstd
from minkgen.store.shards import ShardedRows

ROWS, CHUNK, SHARD = 75, 4, 32
VALUES = np.random.default_rng(0).random((ROWS, 6, 5)).astype(np.float32)


def make(folder: Path, **options: Any) -> zarr.Array[Any]:
    array = zarr.create_array(
        folder,
        **{
            "shape": VALUES.shape,
            "dtype": "float32",
            "chunks": (CHUNK, 6, 5),
            "shards": (SHARD, 6, 5),
            "compressors": zstd(),
            "fill_value": float("nan"),
            **options,
        },
    )
    array[:] = VALUES
    return array


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> ShardedRows:
    folder = tmp_path_factory.mktemp("rows")
    return ShardedRows(folder, make(folder))


def gathered(rows: ShardedRows, numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found = np.full((len(numbers), *VALUES.shape[1:]), np.nan, np.float32)
    for positions, places, values in rows.chunks(numbers):
        found[positions] = values[places]
    return found


@given(numbers=st.lists(st.integers(0, ROWS - 1), max_size=100))
@settings(deadline=None, max_examples=60)
def test_any_rows_in_any_order_are_those_of_the_array(
    stored: ShardedRows, numbers: list[int]
) -> None:
    chosen = np.array(numbers, np.intp)
    np.testing.assert_array_equal(gathered(stored, chosen), VALUES[chosen])
    assert len(list(stored.chunks(chosen))) == len(set(chosen // CHUNK))


def test_an_index_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ShardedRows(tmp_path, make(tmp_path))
    starts = []
    read = ShardedRows._read

    def watched(self: ShardedRows, ranges: Any) -> Any:
        starts.extend(start for _, start, _ in ranges)
        return read(self, ranges)

    monkeypatch.setattr(ShardedRows, "_read", watched)
    for _ in range(3):
        gathered(rows, np.array([0, 40, 70]))
    assert [start < 0 for start in starts].count(True) == 3
    assert len(starts) == 3 + 9


def shard(folder: Path) -> Path:
    return folder / "c/1/0/0"


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    rows = ShardedRows(tmp_path, make(tmp_path))
    shard(tmp_path).unlink()
    np.testing.assert_array_equal(gathered(rows, np.array([3])), VALUES[[3]])
    with pytest.raises(StoreError, match=f"cannot be read\n.*{shard(tmp_path)}"):
        gathered(rows, np.array([3, 40]))


def test_a_chunk_that_was_never_written_is_no_weather(tmp_path: Path) -> None:
    array = make(tmp_path)
    array[40:44] = np.nan  # zarr leaves out what is all fill value
    rows = ShardedRows(tmp_path, array)
    np.testing.assert_array_equal(gathered(rows, np.array([39, 44])), VALUES[[39, 44]])
    with pytest.raises(StoreError, match=r"never written(.|\n)*chunk 10"):
        gathered(rows, np.array([41]))


@pytest.mark.parametrize(
    ("where", "message"),
    [(-20, "index of a shard is damaged"), (0, "chunk is damaged"), (None, "damaged")],
)
def test_damage_is_named(tmp_path: Path, where: int | None, message: str) -> None:
    rows = ShardedRows(tmp_path, make(tmp_path))
    content = bytearray(shard(tmp_path).read_bytes())
    if where is None:
        content = content[:-5]
    else:
        content[where] ^= 0xFF
    shard(tmp_path).write_bytes(content)
    with pytest.raises(StoreError, match=message):
        gathered(rows, np.array([33]))


@pytest.mark.parametrize(
    "options",
    [
        {"compressors": BloscCodec()},
        {"shards": None},
        {"chunks": (CHUNK, 3, 5)},
        {"chunk_key_encoding": {"name": "v2", "separator": "."}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_an_array_of_another_layout_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match="not laid out as minkgen writes it"):
        ShardedRows(tmp_path, make(tmp_path, **options))
