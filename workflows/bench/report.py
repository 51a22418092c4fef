"""What the γ benchmark says: one row per quantity, beside its target where it has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minkgen.workflows.bench.fields import CUT_OUT, TILES
from minkgen.workflows.bench.timing import BINS, BenchResult

__all__ = ["BinRow", "Row", "as_json", "as_text", "bin_rows", "rows"]


class Row(NamedTuple):
    """A quantity; its value is None where it could not be measured."""

    key: str
    what: str
    value: float | None
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target or a value."""
        if self.value is None or (self.at_least is None and self.at_most is None):
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )


class BinRow(NamedTuple):
    """The tiles of a bin of the wet fraction; None where there is no such tile.

    Attributes
    ----------
    low, high : float
        Edges of the bin.
    tiles : int
    tiles_per_second : float or None
        γ on one core.
    reference, gudhi_2d : float or None
        How many times longer the reference pipeline takes, and GUDHI's 2-D path.
    """

    low: float
    high: float
    tiles: int
    tiles_per_second: float | None = None
    reference: float | None = None
    gudhi_2d: float | None = None


def rows(result: BenchResult) -> list[Row]:
    """Return every quantity that has a name of its own, with the project's targets.

    Parameters
    ----------
    result : BenchResult

    Returns
    -------
    list of Row
    """
    wet = np.count_nonzero(result.rain.tiles) / result.rain.tiles.size
    height, width = result.rain.cut_out.shape[1:]
    times, start, median, ratio = result.times, result.start, result.microseconds, result.ratio
    hardest = max((name for name in times if name.startswith("adversary/")), key=median)
    has_cc3d, has_composites = "sample/cc3d" in times, "composite/ingest" in times
    has_reading = "reading/shuffled" in times
    cut_out_target = 20.0 if (height, width) == (CUT_OUT, CUT_OUT) else None
    return [
        Row("speed", f"γ, {100 * wet:.1f} % of pixels wet", 1e6 / median("gamma"), "tiles/s"),
        Row("gamma", "  the same, time of a tile", median("gamma"), "µs"),
        Row("read", "  reading a tile (NumPy's maximum)", median("read"), "µs"),
        Row(
            "reference",
            "reference pipeline / γ",
            ratio("sample/reference", "sample/gamma"),
            "x",
            at_least=500.0,
        ),
        Row(
            "gudhi_2d",
            "GUDHI's 2-D path, persistence alone / γ",
            ratio("gudhi_2d", "gamma"),
            "x",
            at_least=2.5,
        ),
        Row(
            "cc3d",
            "cc3d, components alone / γ" if has_cc3d else "cc3d (not installed)",
            ratio("sample/cc3d", "sample/gamma") if has_cc3d else None,
            "x",
        ),
        Row(
            "two_threads",
            "γ: one thread / two threads",
            ratio("gamma", "two_threads"),
            "x",
            at_least=1.8,
        ),
        Row(
            "weight_maps",
            "γ / weight maps",
            ratio("some/gamma", "some/weight_maps"),
            "x",
            at_least=1 / 3,
        ),
        Row(
            "dense_zeroed",
            "γ: network-like fields / tiles",
            ratio("dense/zeroed", "some/gamma"),
            "x",
            at_most=1.5,
        ),
        Row("dense_as_is", "  drizzle not zeroed", ratio("dense/as_is", "some/gamma"), "x"),
        Row(
            "worst_case",
            f"γ of the hardest field: {_adversary(hardest)}",
            median(hardest) / 1000,
            "ms",
            at_most=2.0,
        ),
        Row(
            "cut_out",
            f"{height} x {width} pixels: reference pipeline / γ",
            ratio("cut_out/reference", "cut_out/gamma"),
            "x",
            at_least=cut_out_target,
        ),
        Row("cut_out_gamma", "  time of γ", median("cut_out/gamma") / 1000, "ms"),
        Row(
            "ingest",
            "decode, convert, write a composite / h5py reading it",
            ratio("composite/ingest", "composite/h5py") if has_composites else None,
            "x",
            at_most=1.4,
        ),
        Row(
            "ingest_seconds",
            "  time of a composite",
            median("composite/ingest") / 1e6 if has_composites else None,
            "s",
        ),
        Row(
            "reading",
            "zarr reading chunks in order / shuffled into tensors",
            ratio("reading/in_order", "reading/shuffled") if has_reading else None,
            "x",
            at_least=0.7,
        ),
        Row(
            "reading_tile",
            "  time of a tile with its γ",
            median("reading/shuffled") if has_reading else None,
            "µs",
        ),
        *_exact_rows(result),
        Row(
            "scores",
            "scores of a predicted field, without γ and FSS",
            1e6 / median("scores/fields"),
            "pairs/s",
            at_least=200.0,
        ),
        Row("scores_fss", "  with FSS", 1e6 / median("scores/with_fss"), "pairs/s"),
        *_compute_rows(result),
        Row("warm_seconds", "first γ of a warm process", start.warm_seconds, "s", at_most=1.0),
        Row(
            "warm_added_mb",
            "  memory added to that of the imports",
            start.warm_added_mb,
            "MB",
            at_most=150.0,
        ),
        Row("import_seconds", "  imports before it", start.import_seconds, "s"),
        Row("cold_seconds", "first γ of a cold process (compiles)", start.cold_seconds, "s"),
        Row("cold_peak_mb", "  peak memory", start.cold_peak_mb, "MB"),
    ]


def _exact_rows(result: BenchResult) -> list[Row]:
    is_there = "exact/tiles" in result.times

    def speed(name: str) -> float | None:
        return 1e6 / result.microseconds(f"exact/{name}") if is_there else None

    backward = 1 - result.ratio("exact/forward", "exact/tiles") if is_there else None
    return [
        Row(
            "exact",
            "exact surrogate, forward and backward",
            speed("tiles"),
            "tiles/s",
            at_least=5000.0,
        ),
        Row("exact_dense", "  network-like fields", speed("dense"), "tiles/s", at_least=5000.0),
        Row("exact_all", "  all eight functionals", speed("all"), "tiles/s"),
        Row(
            "exact_backward",
            "  share of the soft form's gradient",
            None if backward is None else 100 * backward,
            "%",
        ),
    ]


def _compute_rows(result: BenchResult) -> list[Row]:
    median, ratio = result.microseconds, result.ratio
    return [
        Row(
            "compute",
            "compute: the paper's way, a file for each tile / one core",
            ratio("compute/paper", "compute/one_core"),
            "x",
            at_least=60.0,
        ),
        Row("compute_sample", "  time of a sample", median("compute/one_core"), "µs"),
        Row("compute_tables", "  tile table and climate before it", median("compute/tables"), "µs"),
        Row(
            "compute_other",
            "  share that is not reading, γ, mix-up or compressing",
            100 * result.compute.unnamed_share(),
            "%",
            at_most=15.0,
        ),
        Row(
            "compute_workers",
            "compute: one worker / two workers",
            ratio("compute/one_worker", "compute/two_workers"),
            "x",
            at_least=1.6,
        ),
        Row(
            "compute_no_op",
            "  a part that does nothing, of 10,000",
            median("compute/no_op") / 1000,
            "ms",
            at_most=2.0,
        ),
    ]


def bin_rows(result: BenchResult) -> list[BinRow]:
    """Return speed and ratios by wet fraction.

    Parameters
    ----------
    result : BenchResult

    Returns
    -------
    list of BinRow
    """
    found = []
    for index, tiles in enumerate(result.bin_tiles):
        row = BinRow(BINS[index], BINS[index + 1], tiles)
        if tiles > 0:
            name = f"bin/{index}"
            row = row._replace(
                tiles_per_second=1e6 / result.microseconds(f"{name}/gamma"),
                reference=result.ratio(f"{name}/sample/reference", f"{name}/sample/gamma"),
                gudhi_2d=result.ratio(f"{name}/gudhi_2d", f"{name}/gamma"),
            )
        found.append(row)
    return found


def as_json(result: BenchResult) -> dict[str, Any]:
    """Return everything as plain JSON values.

    Parameters
    ----------
    result : BenchResult

    Returns
    -------
    dict
        `date`, `hardware`, `load`, `versions`, `seconds`, `rounds`, `rain` (source, attribution,
        available and used tiles, thresholds, size of the cut-out); `rows` by key (what, value,
        unit, at_least, at_most, met); `bins` (as `BinRow`); `compute` (samples of its snapshot, and
        of each run on one core the seconds by stage); and `microseconds` by the names of
        `BenchResult.times`: median, and the quartiles low and high.
    """
    rain = result.rain
    quartiles = {
        name: np.quantile(times, (0.25, 0.5, 0.75)).tolist() for name, times in result.times.items()
    }
    return {
        "date": result.date,
        "hardware": result.hardware,
        "load": result.load,
        "versions": result.versions,
        "seconds": result.seconds,
        "rounds": result.rounds,
        "rain": {
            "source": rain.source,
            "attribution": rain.attribution,
            "available": rain.available,
            "tiles": len(rain.tiles),
            "thresholds_mm_h": rain.thresholds.tolist(),
            "cut_out": list(rain.cut_out.shape[1:]),
        },
        "rows": {
            row.key: {
                **{name: value for name, value in row._asdict().items() if name != "key"},
                "met": row.met,
            }
            for row in rows(result)
        },
        "bins": [row._asdict() for row in bin_rows(result)],
        "compute": {
            "samples": result.compute.samples,
            "seconds": result.compute.spent,
        },
        "microseconds": {
            name: dict(zip(("low", "median", "high"), values, strict=True))
            for name, values in quartiles.items()
        },
    }


def as_text(result: BenchResult) -> str:
    """Return the report for people.

    Parameters
    ----------
    result : BenchResult

    Returns
    -------
    str
        What was timed on what, then three tables: targets, wet fractions, hard fields.
    """
    rain = result.rain
    quantities = [(row.what, _measured(row), _target(row), _MET[row.met]) for row in rows(result)]
    by_wet_fraction = [
        (
            f"{100 * row.low:.0f}-{100 * row.high:.0f} %",
            str(row.tiles),
            *map(_number, (row.tiles_per_second, row.reference, row.gudhi_2d)),
        )
        for row in bin_rows(result)
    ]
    hard_fields = [
        (_adversary(name), _number(result.microseconds(name) / 1000))
        for name in result.times
        if name.startswith("adversary/")
    ]
    what = (
        f"{len(rain.tiles)} of {rain.available} wet tiles of {TILES.size} x {TILES.size} pixels "
        f"from {rain.source}; {len(rain.thresholds)} thresholds"
    )
    how = (
        f"rounds: {result.rounds}, in all {result.seconds:.0f} s; medians over rounds, ratios of "
        "times within a round; one thread"
    )
    lines = [
        f"Benchmark of γ, {result.date}",
        f"{result.hardware}; load before the run {result.load:.1f}",
        ", ".join(f"{name} {version}" for name, version in result.versions.items()),
        what,
        rain.attribution,
        how,
        "",
        *_table(("what", "measured", "target", "met"), quantities),
        "",
        *_table(("wet fraction", "tiles", "tiles/s", "reference / γ", "2-D / γ"), by_wet_fraction),
        "",
        *_table(("hard field", "ms"), hard_fields),
    ]
    return "\n".join(lines)


_MET = {None: "", True: "yes", False: "no"}


def _adversary(name: str) -> str:
    return name.removeprefix("adversary/")


def _measured(row: Row) -> str:
    return _number(None) if row.value is None else f"{_number(row.value)} {row.unit}"


def _target(row: Row) -> str:
    if row.at_least is not None:
        return f"at least {_number(row.at_least)} {row.unit}"
    return "" if row.at_most is None else f"at most {_number(row.at_most)} {row.unit}"


def _number(value: float | None) -> str:
    """Write a number with three figures, and no fewer than its whole ones."""
    if value is None:
        return "-"
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def _table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Return aligned lines: text on the left, numbers on the right."""
    widths = [max(map(len, column)) for column in zip(titles, *lines, strict=True)]
    return [
        "  ".join(
            [line[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        ).rstrip()
        for line in (titles, *lines)
    ]
