"""Where the tiles of a task come from: cut out of composites, or kept in a snapshot."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zarr

from minkgen.grid import Grid
from minkgen.recipe import Tiles
from minkgen.store.layout import SAMPLES_PER_CHUNK
from minkgen.tiles.eligibility import cut_tile
from minkgen.tiles.table import minutes
from minkgen.workflows.rain import RainSource
from minkgen.workflows.scan import tiles_by_time
from minkgen.workflows.stopwatch import Stopwatch

__all__ = ["CutTiles", "KeptTiles", "Samples", "TileSource"]

Float32 = npt.NDArray[np.float32]

# Reading a frame takes 5.1 times its bytes, and an hour's rain of four frames 14.2 times: bytes,
# chunk, frame and rates are there at once, and what was freed is not given back (measured).
_FRAMES, _FRAMES_OF_AN_HOUR = 7, 16
# As many tiles as a frame of the whole of Europe holds, so that both sources need like memory.
_SAMPLES_PER_BLOCK = 8 * SAMPLES_PER_CHUNK


@dataclass(frozen=True)
class Samples:
    """Consecutive samples of a split.

    Attributes
    ----------
    split : str
    first : int
        The place of the first of them in the split.
    rows : pyarrow.Table
        Their times, rows and columns.
    """

    split: str
    first: int
    rows: pa.Table


class TileSource(Protocol):
    """Gives the tiles of samples, drizzle zeroed and missing pixels NaN. Travels to the workers."""

    def blocks(
        self, samples: Samples, stopwatch: Stopwatch, out: Float32 | None = None
    ) -> Iterator[Float32]:
        """Yield the tiles in order, some at a time, shape (n, size, size).

        If there is an array for all of them, `out`, they are written into it.
        """

    def reads(self, samples: Samples) -> int:
        """Return how many times something is read and decoded."""

    def memory(self, grid: Grid) -> int:
        """Return the bytes that reading and decoding take at most."""


@dataclass(frozen=True)
class CutTiles:
    """Tiles that are cut out of composites.

    Attributes
    ----------
    rain : RainSource
    tiles : Tiles
        Their size and drizzle threshold.
    """

    rain: RainSource
    tiles: Tiles

    def blocks(
        self, samples: Samples, stopwatch: Stopwatch, out: Float32 | None = None
    ) -> Iterator[Float32]:
        """Yield the tiles frame by frame."""
        composites, size = self.rain.open(), self.tiles.size
        for time, first, corners in tiles_by_time(samples.rows):
            with stopwatch.stage("reading"):
                frame = self.rain.read(composites, time)
            with stopwatch.stage("cutting"):
                if out is None:
                    block = np.empty((len(corners), size, size), np.float32)
                else:
                    block = out[first : first + len(corners)]
                for tile, (row, column) in zip(block, corners, strict=True):
                    cut_tile(frame, row, column, self.tiles, tile)
            yield block

    def reads(self, samples: Samples) -> int:
        """Return the number of frames."""
        return int(np.unique(minutes(samples.rows)).size)

    def memory(self, grid: Grid) -> int:
        """Return so many frames as were measured, of the whole grid, and some room."""
        frames = _FRAMES_OF_AN_HOUR if self.rain.hourly else _FRAMES
        return frames * np.dtype(np.float32).itemsize * math.prod(grid.shape)


@dataclass(frozen=True)
class KeptTiles:
    """Tiles of a published snapshot.

    Attributes
    ----------
    snapshot : Path
    array : {"rain_rate", "mixup_rain_rate"}, optional
    """

    snapshot: Path
    array: str = "rain_rate"

    def blocks(
        self, samples: Samples, stopwatch: Stopwatch, out: Float32 | None = None
    ) -> Iterator[Float32]:
        """Yield the tiles some chunks at a time."""
        with stopwatch.stage("reading"):
            array = zarr.open_array(self.snapshot / samples.split / self.array, mode="r")
        for first in range(0, samples.rows.num_rows, _SAMPLES_PER_BLOCK):
            end = min(first + _SAMPLES_PER_BLOCK, samples.rows.num_rows)
            with stopwatch.stage("reading"):
                block = np.asarray(array[samples.first + first : samples.first + end], np.float32)
                if out is not None:
                    out[first:end] = block
            yield block

    def reads(self, samples: Samples) -> int:
        """Return the number of chunks."""
        count: int = samples.rows.num_rows
        return math.ceil(count / SAMPLES_PER_CHUNK)

    def memory(self, grid: Grid) -> int:
        """Return that of cut tiles: a block is smaller than a frame."""
        return _FRAMES * np.dtype(np.float32).itemsize * math.prod(grid.shape)
