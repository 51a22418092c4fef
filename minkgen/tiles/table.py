"""The tile table: every covered tile of a period, and which of them become samples of a split."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from minkgen.recipe import Recipe, Window, digest
from minkgen.tiles.eligibility import FrameTiles

__all__ = ["TILE_SCHEMA", "frame_rows", "merge_rows", "rows_digest", "sample_keys", "select_rows"]

TILE_SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("us", tz="UTC")),
        ("row", pa.int32()),
        ("column", pa.int32()),
        ("covered_fraction", pa.float64()),
        ("wet_fraction", pa.float64()),
        ("max_rate", pa.float32()),
        ("product", pa.string()),
    ]
)
_ORDER = [("time", "ascending"), ("row", "ascending"), ("column", "ascending")]


def frame_rows(time: datetime, product: str, tiles: FrameTiles) -> pa.Table:
    """Return the rows of one frame."""
    count = len(tiles.row)
    return pa.table(
        [
            pa.array([time] * count, TILE_SCHEMA.field("time").type),
            tiles.row,
            tiles.column,
            tiles.covered_fraction,
            tiles.wet_fraction,
            tiles.max_rate,
            pa.array([product] * count, pa.string()),
        ],
        schema=TILE_SCHEMA,
    )


def merge_rows(tables: Sequence[pa.Table]) -> pa.Table:
    """Return all rows in the order of time, row and column."""
    merged = pa.concat_tables([TILE_SCHEMA.empty_table(), *tables])
    return merged.sort_by(_ORDER).combine_chunks()


def minutes(rows: pa.Table) -> npt.NDArray[np.int64]:
    """Return the times of rows as minutes since 1970."""
    microseconds = rows["time"].cast(pa.int64()).to_numpy()
    result: npt.NDArray[np.int64] = microseconds // 60_000_000
    return result


def rows_digest(rows: pa.Table) -> str:
    """Return the digest of which tiles rows are, in order, whatever the tiles are like."""
    columns = (minutes(rows), rows["row"].to_numpy(), rows["column"].to_numpy())
    return digest([column.tolist() for column in columns])


def sample_keys(rows: pa.Table, seed: int) -> npt.NDArray[np.uint64]:
    """Return one pseudo-random number per row that depends on the seed and the tile alone.

    Choosing the rows with the smallest keys draws a sample that no order of execution changes,
    and that an appended day does not disturb. The mixing function is SplitMix64 (Steele, Lea and
    Flood 2014).
    """
    key = np.full(rows.num_rows, seed, np.uint64)
    for column in (minutes(rows), rows["row"].to_numpy(), rows["column"].to_numpy()):
        key = _split_mix(key ^ column.astype(np.uint64))
    return key


def _split_mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    mixed = state + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def in_window(rows: pa.Table, window: Window) -> pa.Table:
    """Return the rows whose time lies in a half-open window."""
    kind = TILE_SCHEMA.field("time").type
    after = pc.greater_equal(rows["time"], pa.scalar(window.start, kind))
    before = pc.less(rows["time"], pa.scalar(window.end, kind))
    return rows.filter(pc.and_(after, before))


def wet_rows(rows: pa.Table) -> pa.Table:
    """Return the eligible rows: those with a pixel of at least the drizzle threshold."""
    return rows.filter(pc.greater(rows["wet_fraction"], 0.0))


def select_rows(rows: pa.Table, recipe: Recipe) -> dict[str, pa.Table]:
    """Return the samples of every split, sorted by time, row and column.

    All wet tiles are samples. All-dry tiles are drawn, by `sample_keys`, so that of the samples of
    each day `dry_fraction` are dry (rounded; fewer where there are not as many): counting by days
    leaves earlier days as they are when a later one is appended.

    Parameters
    ----------
    rows : pyarrow.Table
        The tile table, in any order.
    recipe : Recipe
        Splits (the gap is cut from the start of the later one), `dry_fraction` and seed.

    Returns
    -------
    dict of str to pyarrow.Table
        By the names train, validation and test.
    """
    selected = {}
    rows = merge_rows([rows])
    for split, window in recipe.splits.trimmed().items():
        inside = in_window(rows, window)
        keep = inside["wet_fraction"].to_numpy() > 0
        day = minutes(inside) // (24 * 60)
        keys = sample_keys(inside, recipe.seed)
        ratio = recipe.tiles.dry_fraction / (1.0 - recipe.tiles.dry_fraction)
        for each in np.unique(day):
            wanted = round(ratio * np.count_nonzero(keep & (day == each)))
            dry = np.flatnonzero(~keep & (day == each) & (inside["wet_fraction"].to_numpy() == 0))
            keep[dry[np.argsort(keys[dry], kind="stable")[:wanted]]] = True
        selected[split] = inside.filter(pa.array(keep))
    return selected
