"""The samples of a snapshot as rows of a tile table, read back from its columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zarr

from minkgen.errors import StoreError
from minkgen.tiles.table import TILE_SCHEMA

__all__ = ["PLACES", "read_rows"]

# What tells one tile of a store from all others.
PLACES = ("time", "row", "column")
_MICROSECONDS_PER_MINUTE = 60_000_000


def read_rows(
    snapshot: Path,
    split: str,
    samples: slice = slice(None),
    columns: Sequence[str] = TILE_SCHEMA.names,
) -> pa.Table:
    """Return samples of a split, in order, with the columns of the tile table.

    Parameters
    ----------
    snapshot : Path
        The folder of a snapshot, published or growing.
    split : {"train", "validation", "test"}
    samples : slice, optional
    columns : sequence of str, optional
        Some columns of the tile table.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    StoreError
        If the snapshot has no such split.
    """
    group = zarr.open_group(snapshot, mode="r").get(split)
    if not isinstance(group, zarr.Group):
        raise StoreError("the snapshot has no such split", where=snapshot, got=split)
    fields = [TILE_SCHEMA.field(name) for name in columns]
    arrays = [_column(np.asarray(group[field.name][samples]), field) for field in fields]  # type: ignore[index]
    return pa.table(arrays, schema=pa.schema(fields))


def _column(values: np.ndarray[Any, Any], field: pa.Field) -> pa.Array:
    if field.name == "time":
        return pa.array(values * _MICROSECONDS_PER_MINUTE).cast(field.type)
    return pa.array(values.tolist() if pa.types.is_string(field.type) else values, field.type)
