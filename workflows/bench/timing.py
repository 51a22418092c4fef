"""Benchmark of γ and of compute: what is compared is timed in the same rounds.

Machines are shared and their clocks wander. So each round times every quantity once, those that are
compared next to each other; ratios are taken within a round, and medians over rounds are reported.
"""

from __future__ import annotations

import functools
import importlib
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minkgen.gamma.matrix import gamma_matrix
from minkgen.gamma.weights import weight_maps
from minkgen.workflows.bench.composites import CompositeWays, composite_ways
from minkgen.workflows.bench.compute import compute_ways
from minkgen.workflows.bench.exact import ExactWays, exact_ways
from minkgen.workflows.bench.fields import (
    SEED,
    TILES,
    Rain,
    adversaries,
    network_like,
    rain_for_bench,
)
from minkgen.workflows.bench.reading import ReadingWays, reading_ways
from minkgen.workflows.bench.scores import ScoreWays, score_ways
from minkgen.workflows.bench.start import Start, measure_start
from minkgen.workflows.progress import Progress, Silent

__all__ = ["BINS", "BenchResult", "Compute", "bench"]

Float32 = npt.NDArray[np.float32]
Way = Callable[[Any], object]

# Edges of the bins of the wet fraction: each holds its lower edge, the last one both.
BINS = (0.0, 0.02, 0.1, 0.3, 0.6, 1.0)
# A scale of lengths and areas, which takes no part in the time.
_PIXEL_KM = 2.0
# A call is repeated until this has passed: far above the steps of clock and scheduler.
_LEAST_SECONDS = 0.1
# The reference takes tens of milliseconds a tile: each round draws a few tiles anew for it.
_SAMPLE, _SAMPLE_OF_BIN = 24, 6
# γ is computed in batches: of fewer tiles, the call itself would be a good part of the time.
_BATCH = 64
_SOME = 256
# The maps of so many tiles take 17 MB. Blocks of more than 32 MB glibc fetches anew for every call,
# and new pages take time (104 instead of 82 µs a tile, 250 and more while others use the machine).
_WEIGHT_MAPS_BATCH = 32
# Hard fields take several times longer, so that fewer of them fill a batch.
_COPIES = 16
_CC3D = "connected-components-3d"
_LIBRARIES = ("minkgen", "numpy", "numba", "gudhi", "scikit-image", _CC3D, "zarr", "torch")
_PROCESSOR = Path("/proc/cpuinfo")


class Compute(NamedTuple):
    """What compute was timed on, and what it spent its time on.

    Attributes
    ----------
    samples : int
        Rows of its snapshot.
    spent : list of dict of str to float
        Of each run on one core: seconds by stage (`minkgen.workflows.stopwatch`), and `other`.
    """

    samples: int
    spent: list[dict[str, float]]

    def unnamed_share(self) -> float:
        """Return which share was not reading, γ, mix-up or compressing: median over runs."""
        shares = [(run["cutting"] + run["other"]) / sum(run.values()) for run in self.spent]
        return float(np.median(shares))


class BenchResult(NamedTuple):
    """What was timed, on what, with what.

    Attributes
    ----------
    date : str
        UTC.
    hardware : str
        Processor, widest vectors, cores that may be used, system.
    load : float
        Processes that were running or waiting before, mean of a minute: above 0, somebody else
        used the machine, and two threads had no two cores.
    versions : dict
        By library, without those that are not installed.
    rain : Rain
    bin_tiles : list of int
        Number of tiles in each bin of the wet fraction (`BINS`).
    times : dict of str to ndarray, shape (rounds,)
        Microseconds a tile. On all tiles: `gamma`, `two_threads`, `gudhi_2d`,
        and `read` (NumPy's maximum of each tile). On a few tiles of each round: `sample/gamma`,
        `sample/reference`, `sample/cc3d` (if installed). On the first 256, or what is made of
        them: `some/gamma`, `some/weight_maps`, `dense/zeroed`, `dense/as_is`. On those of a bin:
        `bin/<index>/gamma`, `bin/<index>/gudhi_2d`; on a few of each round
        `bin/<index>/sample/gamma`, `bin/<index>/sample/reference`. Besides `adversary/<name>`,
        `cut_out/gamma` and `cut_out/reference`, and of a folder's composites, microseconds each,
        `composite/h5py` and `composite/ingest`. Of tiles in a store (if torch is installed),
        `reading/in_order` and `reading/shuffled`. Of the exact surrogate (if torch is installed,
        and tiles are 10 to 25 % wet) `exact/forward`, with the gradient `exact/tiles` and
        `exact/dense`, and of all functionals `exact/all`. Of pairs of tile and prediction
        `scores/fields` and `scores/with_fss`. Of compute, microseconds a sample:
        `compute/one_core`, `compute/paper`, `compute/tables`; a part: `compute/one_worker`,
        `compute/two_workers`, and of parts that do nothing `compute/no_op`.
    start : Start
    compute : Compute
    seconds : float
        What the whole benchmark took.
    """

    date: str
    hardware: str
    load: float
    versions: dict[str, str]
    rain: Rain
    bin_tiles: list[int]
    times: dict[str, npt.NDArray[np.float64]]
    start: Start
    compute: Compute
    seconds: float

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return len(self.times["gamma"])

    def microseconds(self, name: str) -> float:
        """Return the median time of a tile."""
        return float(np.median(self.times[name]))

    def ratio(self, slow: str, fast: str) -> float:
        """Return the median over rounds of the time of `slow` divided by that of `fast`."""
        return float(np.median(self.times[slow] / self.times[fast]))


def bench(
    folder: Path | None, *, tiles: int, repeats: int, progress: Progress | None = None
) -> BenchResult:
    """Time γ beside the reference pipeline, GUDHI's 2-D path and cc3d.

    Parameters
    ----------
    folder : Path or None
        Composites in the archive's layout; synthetic rain without one.
    tiles : int
        Number of tiles, a seeded choice; at least 1.
    repeats : int
        Number of rounds, at least 1.
    progress : Progress, optional

    Returns
    -------
    BenchResult

    Raises
    ------
    InputError
        If the folder holds no rain.
    SourceError
        If a composite cannot be read.
    """
    progress = progress or Silent()
    begin, load = time.perf_counter(), os.getloadavg()[0]
    rain = rain_for_bench(folder, tiles)
    progress.stage("start processes", 1)
    start = measure_start()
    progress.advance()
    ways, batches = _Ways.of(rain.thresholds), _Batches.of(rain)
    ways.warm_up(rain.tiles[:1])
    random = np.random.default_rng(SEED)
    times: dict[str, list[float]] = {}
    # First of all: zarr keeps the number of threads that it begins with.
    with compute_ways(folder) as compute:
        rounds = min(repeats, compute.rounds)
        progress.stage("time compute", rounds)
        for number in range(rounds):
            for name, way, each in compute.one_round(number, random):
                times.setdefault(name, []).append(_microseconds_per_tile(way, each))
            progress.advance()
    with ExitStack() as stack:
        composites = None if folder is None else stack.enter_context(composite_ways(folder))
        reading, exact = stack.enter_context(reading_ways(rain)), exact_ways(rain)
        scores = score_ways(rain)
        progress.stage("time γ", repeats)
        for _ in range(repeats):
            for name, way, batch in _one_round(
                ways, batches, composites, reading, exact, scores, random
            ):
                times.setdefault(name, []).append(_microseconds_per_tile(way, batch))
            progress.advance()
    return BenchResult(
        date=datetime.now(UTC).date().isoformat(),
        hardware=_hardware(),
        load=load,
        versions=_versions(),
        rain=rain,
        bin_tiles=[len(members) for members in batches.bins],
        times={name: np.array(values) for name, values in times.items()},
        start=start,
        compute=Compute(compute.samples, compute.spent),
        seconds=time.perf_counter() - begin,
    )


def _microseconds_per_tile(way: Way, batch: Sequence[Any] | Float32) -> float:
    spent, calls = 0.0, 0
    while spent < _LEAST_SECONDS:
        begin = time.perf_counter()
        way(batch)
        spent += time.perf_counter() - begin
        calls += 1
    return 1e6 * spent / (calls * len(batch))


class _Ways(NamedTuple):
    """The functions that are timed, each over a batch; GUDHI's takes a list of filtrations."""

    gamma: Way
    weight_maps: Way
    reference: Way
    gudhi_2d: Way
    cc3d: Way | None

    @classmethod
    def of(cls, thresholds: Float32) -> _Ways:
        from gudhi.sklearn import CubicalPersistence

        from minkgen.gamma.oracle import reference_gamma

        def reference(tiles: Float32) -> None:
            for tile in tiles:
                reference_gamma(tile, thresholds, pixel_km=_PIXEL_KM)

        cubical = CubicalPersistence(
            homology_dimensions=[0, 1], input_type="top_dimensional_cells", n_jobs=1
        )
        return cls(
            gamma=functools.partial(gamma_matrix, thresholds=thresholds, pixel_km=_PIXEL_KM),
            weight_maps=functools.partial(weight_maps, pixel_km=_PIXEL_KM),
            reference=reference,
            gudhi_2d=cubical.fit_transform,
            cc3d=_cc3d(thresholds),
        )

    def warm_up(self, tiles: Float32) -> None:
        """Call everything once: kernels compile, libraries load what they load late."""
        self.gudhi_2d(_filtrations(tiles))
        for way in (self.gamma, self.weight_maps, self.reference, self.cc3d):
            if way is not None:
                way(tiles)

    def gamma_on_threads(self, pool: ThreadPoolExecutor, tiles: Float32) -> None:
        """Compute four batches, each on whichever thread is free."""
        list(pool.map(self.gamma, np.array_split(tiles, min(4, len(tiles)))))

    def weight_maps_in_batches(self, tiles: Float32) -> None:
        """Compute the maps of a few tiles at a time."""
        for first in range(0, len(tiles), _WEIGHT_MAPS_BATCH):
            self.weight_maps(tiles[first : first + _WEIGHT_MAPS_BATCH])


def _cc3d(thresholds: Float32) -> Way | None:
    """Return what labels the 8-connected components of every set {x >= u}, if cc3d is there."""
    if _CC3D not in _versions():
        return None
    cc3d = importlib.import_module("cc3d")

    def label(tiles: Float32) -> None:
        for tile in tiles:
            for u in thresholds:
                cc3d.connected_components(tile >= u, connectivity=8, return_N=True)

    return label


def _filtrations(tiles: Float32) -> list[npt.NDArray[np.float64]]:
    """Return what GUDHI's sublevel filtration needs, as the type that it computes in."""
    return [-tile.astype(np.float64) for tile in tiles]


class _Batches(NamedTuple):
    """What the functions are timed on."""

    tiles: Float32
    bins: list[Float32]
    dense: Float32
    dense_zeroed: Float32
    adversaries: dict[str, Float32]
    cut_out: Float32

    @classmethod
    def of(cls, rain: Rain) -> _Batches:
        wet_fraction = np.count_nonzero(rain.tiles, axis=(1, 2)) / rain.tiles[0].size
        bins = np.digitize(wet_fraction, BINS[1:-1])
        dense = network_like(rain.tiles[:_SOME])
        return cls(
            tiles=rain.tiles,
            bins=[rain.tiles[bins == index] for index in range(len(BINS) - 1)],
            dense=dense,
            dense_zeroed=np.where(dense < np.float32(TILES.drizzle_mm_h), np.float32(0.0), dense),
            adversaries={
                name: np.repeat(field[None], _COPIES, axis=0)
                for name, field in adversaries(TILES.size).items()
            },
            cut_out=rain.cut_out,
        )


def _one_round(
    ways: _Ways,
    batches: _Batches,
    composites: CompositeWays | None,
    reading: ReadingWays | None,
    exact: ExactWays | None,
    scores: ScoreWays,
    random: np.random.Generator,
) -> Iterator[tuple[str, Way, Sequence[Any] | Float32]]:
    """Yield every quantity, what computes it, and on what; compared ones are neighbours."""
    tiles, some = batches.tiles, batches.tiles[:_SOME]
    yield "read", lambda batch: batch.max(axis=(1, 2)), tiles
    # Kept over the calls: new threads begin on one core, and need 3 ms to be apart.
    with ThreadPoolExecutor(2) as pool:
        ways.gamma_on_threads(pool, tiles)
        yield "two_threads", functools.partial(ways.gamma_on_threads, pool), tiles
    yield "gamma", ways.gamma, tiles
    yield "gudhi_2d", ways.gudhi_2d, _filtrations(tiles)
    sample = _draw(tiles, _SAMPLE, random)
    if ways.cc3d is not None:
        yield "sample/cc3d", ways.cc3d, sample
    yield "sample/gamma", ways.gamma, _filled_up(sample)
    yield "sample/reference", ways.reference, sample
    yield "some/weight_maps", ways.weight_maps_in_batches, some
    yield "some/gamma", ways.gamma, some
    yield "dense/zeroed", ways.gamma, batches.dense_zeroed
    yield "dense/as_is", ways.gamma, batches.dense
    for index, members in enumerate(batches.bins):
        if len(members) > 0:
            yield f"bin/{index}/gamma", ways.gamma, _filled_up(members)
            yield f"bin/{index}/gudhi_2d", ways.gudhi_2d, _filtrations(members)
            sample = _draw(members, _SAMPLE_OF_BIN, random)
            yield f"bin/{index}/sample/gamma", ways.gamma, _filled_up(sample)
            yield f"bin/{index}/sample/reference", ways.reference, sample
    for name, copies in batches.adversaries.items():
        yield f"adversary/{name}", ways.gamma, copies
    yield "cut_out/gamma", ways.gamma, batches.cut_out
    yield "cut_out/reference", ways.reference, batches.cut_out
    if composites is not None:
        yield "composite/h5py", composites.read, composites.files
        yield "composite/ingest", composites.ingest, composites.files
    if reading is not None:
        yield "reading/in_order", reading.in_order, reading.samples
        yield "reading/shuffled", reading.shuffled, reading.samples
    if exact is not None:
        yield from exact.one_round()
    yield from scores.one_round()


def _draw(tiles: Float32, count: int, random: np.random.Generator) -> Float32:
    return tiles[random.permutation(len(tiles))[:count]]


def _filled_up(tiles: Float32) -> Float32:
    """Repeat all tiles as often as it takes to fill a batch."""
    return np.concatenate([tiles] * -(-_BATCH // len(tiles)))


def _hardware() -> str:
    """Describe the machine without naming the host."""
    processor, vectors = platform.processor() or "unknown processor", ""
    if _PROCESSOR.exists():
        lines = (line.partition(":") for line in _PROCESSOR.read_text().splitlines())
        facts = {key.strip(): value.strip() for key, _, value in lines}
        processor = facts.get("model name", processor)
        flags = facts.get("flags", "").split()
        vectors = next((f", {name}" for name in ("avx512f", "avx2") if name in flags), "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{processor} ({platform.machine()}{vectors}), "
        f"{cores} core{'' if cores == 1 else 's'}, {platform.system()}"
    )


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
