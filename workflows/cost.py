"""What parts will cost: bytes on disk, memory of a task, time; and the refusal of what is too much.

Times and sizes follow from a few tens of real tiles of this store, which are read, measured, mixed
and compressed as a part is, in memory.
"""

from __future__ import annotations

import heapq
import math
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from distributed.system import MEMORY_LIMIT
from numcodecs.zstd import Zstd

from minkgen.errors import MinkgenError, PlanRefused, TaskError
from minkgen.recipe import Cluster, SchedulerAddress, SlurmJobs
from minkgen.store.build import Part
from minkgen.store.layout import SAMPLES_PER_CHUNK, SAMPLES_PER_SHARD, StorePaths, zstd
from minkgen.store.rows import PLACES
from minkgen.workflows.cluster import local_workers
from minkgen.workflows.parts import part_arrays
from minkgen.workflows.plan import Build
from minkgen.workflows.stopwatch import Stopwatch, add_up
from minkgen.workflows.tile_sources import Samples

__all__ = ["Cost", "estimate_cost", "refuse_crowded_workers", "refuse_what_does_not_fit"]

# So many chunks of tiles are tried, evenly spread over the training split.
_CALIBRATED_CHUNKS = 5
# What a sample's columns take, and the index of each shard.
_COLUMN_BYTES = 64
_INDEX_BYTES = 16 * SAMPLES_PER_SHARD // SAMPLES_PER_CHUNK
# A worker with its libraries and kernels: 334 to 350 MB were measured, and a tenth more.
_WORKER_BYTES = 380_000_000
# The tiles of a part, and a quarter more: shards are compressed before they are written.
_TILES_AND_SHARDS = 1.25
# Dry tiles take next to nothing, but not nothing: as much as if so much of them were wet.
_DRY_AS_WET = 0.001


@dataclass(frozen=True)
class Cost:
    """What parts will cost.

    Attributes
    ----------
    tasks : int
    write_bytes : int
        What they will add to the store; what is linked from an earlier snapshot adds nothing.
    free_bytes : int
        What the store's file system has free.
    task_bytes : int
        Memory of a worker at the largest of the parts, its libraries included.
    worker_bytes : int or None
        Memory that each worker has; None for a cluster that somebody else has started.
    workers : int
        Tasks that run at once, as far as that is known.
    stages : dict of str to float
        Seconds of one core, by stage.
    seconds : float
        Until all workers are done, from when all have started.
    """

    tasks: int
    write_bytes: int
    free_bytes: int
    task_bytes: int
    worker_bytes: int | None
    workers: int
    stages: dict[str, float]
    seconds: float


class _Measured(NamedTuple):
    """What the calibration found.

    Attributes
    ----------
    per_read : float
        Seconds of reading and decoding a frame, or a block of kept tiles.
    per_sample : dict of str to float
        Seconds of a training sample by every other stage, its mixed self included.
    per_weight : dict of str to float
        Bytes by array, see `_weight`.
    """

    per_read: float
    per_sample: dict[str, float]
    per_weight: dict[str, float]


def estimate_cost(build: Build, parts: Sequence[Part]) -> Cost:
    """Estimate what parts of a snapshot will cost on the recipe's workers.

    Parameters
    ----------
    build : Build
    parts : sequence of Part
        Those that are still to be computed.

    Returns
    -------
    Cost
    """
    cluster = build.making.recipe.cluster
    workers = _workers(cluster)
    each: list[dict[str, float]] = []
    write_bytes = 0.0
    if parts:
        measured = _calibrate(build)
        each = [_seconds(build, part, measured) for part in parts]
        write_bytes = sum(_bytes(build, part, measured) for part in parts)
    return Cost(
        tasks=len(parts),
        write_bytes=math.ceil(write_bytes),
        free_bytes=shutil.disk_usage(build.paths.root).free,
        task_bytes=_memory(build, max((part.count for part in parts), default=0)),
        worker_bytes=_worker_bytes(cluster),
        workers=workers,
        stages=add_up(each),
        seconds=_makespan([sum(seconds.values()) for seconds in each], workers),
    )


def refuse_what_does_not_fit(cost: Cost, paths: StorePaths) -> None:
    """Refuse parts for which there is not enough disk or memory.

    Parameters
    ----------
    cost : Cost
    paths : StorePaths

    Raises
    ------
    PlanRefused
    """
    if cost.write_bytes > cost.free_bytes:
        raise PlanRefused(
            "the snapshot would not fit on the disk",
            where=paths.features,
            got=f"{_gigabytes(cost.free_bytes)} free",
            expected=f"about {_gigabytes(cost.write_bytes)} for {cost.tasks} parts",
            hint="make room, choose fewer tiles, or put the store elsewhere",
        )
    if cost.tasks:
        _refuse_memory(cost.task_bytes, cost.worker_bytes, cost.workers)


def refuse_crowded_workers(cluster: Cluster) -> None:
    """Refuse to start more workers than there is memory for, whatever they will do.

    Raises
    ------
    PlanRefused
    """
    _refuse_memory(_WORKER_BYTES, _worker_bytes(cluster), _workers(cluster))


def _refuse_memory(needed: int, there: int | None, workers: int) -> None:
    if there is not None and needed > there:
        raise PlanRefused(
            "the workers would not fit in the memory",
            where="cluster.workers",
            got=f"{_gigabytes(there)} for each of {workers} workers",
            expected=f"about {_gigabytes(needed)}",
            hint="use fewer workers (--workers), smaller tiles, or more cluster.memory_gb on SLURM",
        )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.3g} GB"


def _workers(cluster: Cluster) -> int:
    if isinstance(cluster, SlurmJobs):
        return cluster.workers * cluster.cores
    return 1 if isinstance(cluster, SchedulerAddress) else local_workers(cluster)


def _worker_bytes(cluster: Cluster) -> int | None:
    if isinstance(cluster, SlurmJobs):
        return int(cluster.memory_gb * 2**30 / cluster.cores)
    return None if isinstance(cluster, SchedulerAddress) else MEMORY_LIMIT // _workers(cluster)


def _memory(build: Build, samples: int) -> int:
    tiles = samples * np.dtype(np.float32).itemsize * build.plan.tile_size**2
    reading = build.making.tiles.memory(build.plan.grid)
    return math.ceil(_WORKER_BYTES + reading + _TILES_AND_SHARDS * tiles)


def _makespan(seconds: Sequence[float], workers: int) -> float:
    """Return when the last worker is done, if each takes the longest task that is left."""
    done = [0.0] * workers
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(done, done[0] + each)
    return max(done)


def _calibrate(build: Build) -> _Measured:
    try:
        return _try_tiles(build)
    except MinkgenError:
        raise
    except Exception as error:  # the boundary of a task like those that would follow
        raise TaskError(
            "the first tiles of the snapshot could not be computed",
            where=build.paths.root,
            got=f"{type(error).__name__}: {error}",
            hint="mend the cause and run the same command again; nothing was begun",
        ) from error


def _try_tiles(build: Build) -> _Measured:
    stopwatch, codec = Stopwatch(), Zstd(level=zstd().level)
    sizes: defaultdict[str, float] = defaultdict(float)
    weights: defaultdict[str, float] = defaultdict(float)
    reads, samples = 0, 0
    training = build.plan.rows["train"]
    for first in _chunks_to_try(training.num_rows):
        rows = training.slice(first, SAMPLES_PER_CHUNK)
        chunk = Samples("train", first, rows.select(PLACES).combine_chunks())
        reads += build.making.tiles.reads(chunk)
        samples += rows.num_rows
        for name, values in part_arrays(build.making, chunk, stopwatch):
            if name not in build.making.kept:
                with stopwatch.stage("writing"):
                    sizes[name] += len(codec.encode(np.ascontiguousarray(values)))
                weights[name] += _weight(name, rows)
    seconds = stopwatch.seconds
    return _Measured(
        per_read=seconds.pop("reading") / reads,
        per_sample={stage: spent / samples for stage, spent in seconds.items()},
        per_weight={name: size / weights[name] for name, size in sizes.items()},
    )


def _chunks_to_try(samples: int) -> list[int]:
    """Return the first samples of some chunks, evenly spread, each chunk once."""
    chunks = -(-samples // SAMPLES_PER_CHUNK)
    tried = np.unique(np.linspace(0, chunks - 1, min(chunks, _CALIBRATED_CHUNKS)).astype(int))
    first: list[int] = (SAMPLES_PER_CHUNK * tried).tolist()
    return first


def _weight(array: str, rows: pa.Table) -> float:
    """Return what the size of an array goes with: wet pixels, and of γ wet tiles."""
    wet = rows["wet_fraction"].to_numpy()
    weights = wet > 0 if array.endswith("gamma") else wet
    return float(np.sum(weights + _DRY_AS_WET))


def _bytes(build: Build, part: Part, measured: _Measured) -> float:
    rows = build.plan.rows[part.split].slice(part.start, part.count)
    arrays = [
        measured.per_weight[name] * _weight(name, rows) + _INDEX_BYTES
        for name in part.arrays
        if name not in build.making.kept
    ]
    return sum(arrays) + _COLUMN_BYTES * part.count


def _seconds(build: Build, part: Part, measured: _Measured) -> dict[str, float]:
    rows = build.plan.rows[part.split].slice(part.start, part.count)
    seconds = {stage: spent * part.count for stage, spent in measured.per_sample.items()}
    if part.split != "train":  # no mixed self: half as many arrays
        seconds = {stage: spent / 2 for stage, spent in seconds.items() if stage != "mixup"}
    reads = build.making.tiles.reads(Samples(part.split, part.start, rows))
    return {"reading": measured.per_read * reads, **seconds}
