"""Bringing composites into a store, beside merely reading their arrays with h5py."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import zarr

from minkgen.opera.odim import read_composite
from minkgen.opera.odim.isolated import IsolatedReader
from minkgen.store.composites import create_composites
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import DayLedger
from minkgen.workflows.bench.fields import drawn_composites
from minkgen.workflows.ingest_day import ShardWriter

__all__ = ["CompositeWays", "composite_ways"]

_COMPOSITES = 12
_DAY = datetime(2024, 1, 1, tzinfo=UTC).date()
# Quality of ODYSSEY, of NIMBUS and CIRRUS.
_ARRAYS = ("dataset1/data1/data", "dataset2/data1/data", "dataset1/data1/quality1/data")


class CompositeWays(NamedTuple):
    """What is timed on files of composites.

    Attributes
    ----------
    files : sequence of Path
        All on one grid.
    read : callable
        Reads rate and quality with h5py, as they are in the file.
    ingest : callable
        Decodes, converts and writes them as one shard, as `minkgen ingest` does.
    """

    files: Sequence[Path]
    read: Callable[[Sequence[Path]], None]
    ingest: Callable[[Sequence[Path]], None]


@contextmanager
def composite_ways(folder: Path) -> Iterator[CompositeWays]:
    """Give the two ways over a few composites of a folder, and a store for as long as it takes."""
    drawn = drawn_composites(folder)
    grids = {path: read_composite(path, key).grid for path, key in drawn[:_COMPOSITES]}
    grid = next(iter(grids.values()))
    files = [path for path, of_file in grids.items() if of_file == grid]
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="minkgen-bench-")))
        # One core: the reader's process works while this one waits, and zarr gets no threads.
        reader = stack.enter_context(IsolatedReader())
        stack.enter_context(zarr.config.set({"threading.max_workers": 1}))
        composites = create_composites(StorePaths(root / "store"), grid, (_DAY.year, _DAY.year))
        times = composites.shards_of(_DAY)[0]
        shard = ShardWriter(composites, DayLedger(_DAY))

        def ingest(paths: Sequence[Path]) -> None:
            shard.begin(times)
            for time, path in zip(times, paths, strict=False):
                shard.put(time, reader.read(path))
            shard.write()

        yield CompositeWays(files, _read, ingest)


def _read(paths: Sequence[Path]) -> None:
    for path in paths:
        with h5py.File(path, "r") as file:
            for name in _ARRAYS:
                if name in file:
                    np.asarray(file[name])
