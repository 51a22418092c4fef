"""Chunk-shuffled reading into tensors, beside zarr reading the same chunks in order."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zarr

from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.gamma.matrix import gamma_matrix
from minkgen.gamma.thresholds import physical_thresholds
from minkgen.grid import TEST_2KM
from minkgen.store.build import SnapshotPlan, create_staging, write_part
from minkgen.store.layout import LAYOUT_VERSION, SYNTHETIC_ATTRIBUTION, StorePaths
from minkgen.store.publishing import publish
from minkgen.store.snapshot import Snapshot, open_snapshot
from minkgen.tiles.eligibility import FrameTiles
from minkgen.tiles.table import frame_rows, merge_rows
from minkgen.workflows.bench.fields import Rain

__all__ = ["ReadingWays", "reading_ways"]

# A shard, of four buffers.
_SAMPLES = 4096
_TILES_PER_FRAME = 32
# What zarr is asked for at once: as many samples as a buffer holds. It is no faster with more.
_STRETCH = 1024
_BATCH_SIZE = 64
_SPLIT = "validation"


class ReadingWays(NamedTuple):
    """What is timed on a store of made-up order and real tiles.

    Attributes
    ----------
    samples : sequence of int
        All that the store holds.
    in_order : callable
        Reads tiles and γ with zarr, in long stretches, and does nothing with them.
    shuffled : callable
        Reads an epoch of shuffled batches.
    """

    samples: Sequence[int]
    in_order: Callable[[Sequence[int]], None]
    shuffled: Callable[[Sequence[int]], None]


@contextmanager
def reading_ways(rain: Rain) -> Iterator[ReadingWays | None]:
    """Give the two ways, and a store for as long as it takes; None where torch is not installed."""
    if find_spec("torch") is None:
        yield None
        return
    from minkgen.learn.data import ShuffledTiles, TileReader

    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="minkgen-bench-")))
        # One core: the shuffled way has one thread, and zarr gets no more.
        stack.enter_context(zarr.config.set({"threading.max_workers": 1}))
        snapshot = _store(root, rain)
        arrays = [snapshot.array(_SPLIT, name) for name in ("rain_rate", "gamma")]
        reader = TileReader(snapshot, _SPLIT, FUNCTIONALS)
        tiles = ShuffledTiles(reader, batch_size=_BATCH_SIZE, seed=0)
        epochs = itertools.count()

        def in_order(_: Sequence[int]) -> None:
            for start in range(0, _SAMPLES, _STRETCH):
                for array in arrays:
                    array[start : start + _STRETCH]

        def shuffled(_: Sequence[int]) -> None:
            for _batch in tiles.epoch(next(epochs)):
                pass

        yield ReadingWays(range(_SAMPLES), in_order, shuffled)


def _store(root: Path, rain: Rain) -> Snapshot:
    """Publish a snapshot of the tiles, repeated as often as it takes."""
    repeated = np.arange(_SAMPLES) % len(rain.tiles)
    gamma = gamma_matrix(rain.tiles, rain.thresholds, pixel_km=2.0)
    metadata = {
        "layout_version": LAYOUT_VERSION,
        "attribution": SYNTHETIC_ATTRIBUTION,
        "thresholds": physical_thresholds(rain.thresholds).as_dict(),
        "tile_size": rain.tiles.shape[1],
    }
    plan = SnapshotPlan(
        "bench-0",
        metadata,
        {_SPLIT: _rows(rain.tiles[repeated])},
        TEST_2KM,
        rain.tiles.shape[1],
        physical_thresholds(rain.thresholds),
    )
    paths = StorePaths(root / "store")
    staging = create_staging(paths, plan)
    for part in plan.parts():
        write_part(staging, part, "rain_rate", rain.tiles[repeated[part.samples]])
        write_part(staging, part, "gamma", gamma[repeated[part.samples]])
    publish(paths, plan.name)
    return open_snapshot(paths.root)


def _rows(tiles: npt.NDArray[np.float32]) -> pa.Table:
    start, frames = datetime(2024, 7, 1, tzinfo=UTC), []
    for number, first in enumerate(range(0, len(tiles), _TILES_PER_FRAME)):
        of_frame = tiles[first : first + _TILES_PER_FRAME]
        corners = np.arange(len(of_frame), dtype=np.int32)
        frame = FrameTiles(
            row=corners,
            column=corners,
            covered_fraction=np.ones(len(of_frame)),
            wet_fraction=(of_frame > 0).mean(axis=(1, 2)),
            max_rate=of_frame.max(axis=(1, 2)),
        )
        frames.append(frame_rows(start + number * timedelta(minutes=15), "NIMBUS_RATE", frame))
    return merge_rows(frames)
