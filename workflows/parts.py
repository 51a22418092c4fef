"""The task of one part: get its tiles, measure and mix them, write its shards."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from minkgen.gamma.matrix import gamma_matrix
from minkgen.recipe import Recipe
from minkgen.store.build import Part, write_part
from minkgen.store.linking import link_shard
from minkgen.store.manifest import marked
from minkgen.store.rows import PLACES, read_rows
from minkgen.tiles.mixup import mix_tile
from minkgen.tiles.table import minutes
from minkgen.workflows.climate import Climate
from minkgen.workflows.stopwatch import Stopwatch
from minkgen.workflows.tile_sources import KeptTiles, Samples, TileSource

__all__ = ["Making", "PartDone", "PartTask", "compute_part", "part_arrays"]

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Making:
    """How the arrays of all parts of a snapshot are made.

    Attributes
    ----------
    recipe : Recipe
    climate : Climate
        Thresholds and persistence floors.
    pixel_km : float
    tiles : TileSource
    kept : mapping of str to KeptTiles
        The arrays that an earlier snapshot holds as they will be in this one: they are linked.
    """

    recipe: Recipe
    climate: Climate
    pixel_km: float
    tiles: TileSource
    kept: Mapping[str, KeptTiles] = field(default_factory=dict)

    def gamma(self, tiles: Float32) -> Float32:
        """Return the γ-matrices of tiles."""
        components, holes = self.climate.floors
        gamma: Float32 = gamma_matrix(
            tiles,
            self.climate.thresholds.values,
            pixel_km=self.pixel_km,
            min_persistence=(components.epsilon, holes.epsilon),
            essential=self.recipe.persistence.essential,
        )
        return gamma

    def mix(self, tiles: Float32, rows: pa.Table) -> None:
        """Replace tiles by their mixed selves."""
        places = minutes(rows), rows["row"].to_numpy(), rows["column"].to_numpy()
        for tile, (minute, row, column) in zip(tiles, zip(*places, strict=True), strict=True):
            identity = int(minute), int(row), int(column)
            tile[:] = mix_tile(tile, identity, self.recipe, self.pixel_km)


@dataclass(frozen=True)
class PartTask:
    """What the task of one part needs to know; its samples it finds in the staging folder."""

    staging: Path
    part: Part
    making: Making

    def __str__(self) -> str:
        return f"{self.part} of {self.staging}"


class PartDone(NamedTuple):
    """What the task of a part did.

    Attributes
    ----------
    samples : int
    seconds : dict of str to float
        By stage, and `other`.
    """

    samples: int
    seconds: dict[str, float]


def compute_part(task: PartTask) -> PartDone:
    """Make all arrays of a part and write its shards, or link those that are there already."""
    stopwatch = Stopwatch()
    part, kept = task.part, task.making.kept
    rows = read_rows(task.staging, part.split, part.samples, PLACES)
    samples = Samples(part.split, part.start, rows)
    for name, values in part_arrays(task.making, samples, stopwatch):
        with stopwatch.stage("writing"):
            if name in kept:
                link_shard(task.staging, part.shard(name), kept[name].snapshot)
            elif marked(task.staging, part.shard(name)) is None:
                write_part(task.staging, part, name, values)
    return PartDone(part.count, stopwatch.stop())


def part_arrays(
    making: Making, samples: Samples, stopwatch: Stopwatch
) -> Iterator[tuple[str, Float32]]:
    """Yield the arrays of samples one after the other.

    Parameters
    ----------
    making : Making
    samples : Samples
    stopwatch : Stopwatch

    Yields
    ------
    name : str
        As in `Part.arrays`.
    values : ndarray of float32, shape (n, ...)
        To be used before the next array is asked for: tiles are mixed in place, and the thread's
        next part takes the same memory.
    """
    tiles = _BUFFER.tiles(samples.rows.num_rows, making.recipe.tiles.size)
    _exhaust(making.tiles.blocks(samples, stopwatch, tiles))
    yield "rain_rate", tiles
    with stopwatch.stage("gamma"):
        gamma = making.gamma(tiles)
    yield "gamma", gamma
    if samples.split != "train":
        return
    mixed = making.kept.get("mixup_rain_rate")
    if mixed is None:
        with stopwatch.stage("mixup"):
            making.mix(tiles, samples.rows)
    else:
        _exhaust(mixed.blocks(samples, stopwatch, tiles))
    yield "mixup_rain_rate", tiles
    with stopwatch.stage("gamma"):
        gamma = making.gamma(tiles)
    yield "mixup_gamma", gamma


class _Buffer(threading.local):
    """Memory that the parts of a thread share: new pages took as long as γ (80 µs a tile)."""

    def __init__(self) -> None:
        self._values = np.empty(0, np.float32)

    def tiles(self, count: int, size: int) -> Float32:
        """Return room for so many tiles."""
        needed = count * size * size
        if self._values.size < needed:
            self._values = np.empty(needed, np.float32)
        return self._values[:needed].reshape(count, size, size)


_BUFFER = _Buffer()


def _exhaust(blocks: Iterator[Float32]) -> None:
    for _ in blocks:
        pass
