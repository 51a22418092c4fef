"""The benchmark: its numbers are of the right things and fit together. Speeds are never tested."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from time import sleep
from typing import Any, ClassVar

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from minkgen.cli.main import cli
from minkgen.cli.outputs import OUTPUTS
from minkgen.errors import InputError
from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.gamma.matrix import gamma_matrix
from minkgen.opera.odim import read_composite
from minkgen.recipe import Tiles
from minkgen.store.layout import SYNTHETIC_ATTRIBUTION
from minkgen.store.shards import ShardedRows
from minkgen.workflows.bench import compute as bench_compute
from minkgen.workflows.bench import exact, reading, scores, timing
from minkgen.workflows.bench import fields as bench_fields
from minkgen.workflows.bench import report as bench_report
from minkgen.workflows.bench.fields import Rain, adversaries, network_like, rain_for_bench
from minkgen.workflows.bench.reading import reading_ways
from minkgen.workflows.bench.start import Start, measure_start
from minkgen.workflows.bench.timing import BINS, BenchResult, Compute
from minkgen.workflows.stopwatch import STAGES

START = Start(
    import_seconds=0.5,
    warm_seconds=0.25,
    warm_added_mb=60.0,
    cold_seconds=9.0,
    cold_peak_mb=400.0,
)


class IdleCompute:
    """What is timed in place of compute: nothing, quickly."""

    rounds, samples = 5, 100
    spent: ClassVar = [{"reading": 1.0, "cutting": 0.5, "gamma": 2.0, "mixup": 4.0, "other": 0.5}]

    def one_round(self, number: int, random: Any) -> Iterator[tuple[str, Any, range]]:
        for name in COMPUTE:
            yield f"compute/{name}", lambda batch: sleep(0.02), range(10)


COMPUTE = ("paper", "one_core", "tables", "one_worker", "two_workers", "no_op")


def minkgen(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from minkgen.cli.main import main; main()"]
    return subprocess.run(  # noqa: S603 - our own command
        [*command, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def report() -> tuple[dict[str, Any], str]:
    """Return JSON and text of one round of six synthetic tiles, without start and compute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "measure_start", lambda: START)
        patch.setattr(reading, "_SAMPLES", 100)
        patch.setattr(timing, "compute_ways", lambda folder: nullcontext(IdleCompute()))
        done = CliRunner().invoke(cli, ["bench", "--tiles", "6", "--repeats", "1", "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout), done.stderr


def test_what_is_printed_is_what_the_reference_says(report: tuple[dict[str, Any], str]) -> None:
    OUTPUTS["bench"].model_validate(report[0])


def test_one_json_object_describes_the_run(report: tuple[dict[str, Any], str]) -> None:
    result = report[0]
    assert result["rounds"] == 1
    assert result["load"] >= 0
    assert {"python", "minkgen", "numpy", "numba", "gudhi", "scikit-image"} <= set(
        result["versions"]
    )
    rain = result["rain"]
    assert (rain["tiles"], rain["cut_out"]) == (6, [1024, 1024])
    assert rain["available"] >= 6
    assert rain["attribution"] == SYNTHETIC_ATTRIBUTION
    assert rain["thresholds_mm_h"] == sorted(rain["thresholds_mm_h"])
    assert [each["low"] for each in result["bins"]] == list(BINS[:-1])
    assert sum(each["tiles"] for each in result["bins"]) == 6


def test_every_time_is_positive_and_within_its_quartiles(
    report: tuple[dict[str, Any], str],
) -> None:
    times = report[0]["microseconds"]
    for name, time in times.items():
        assert 0 < time["low"] <= time["median"] <= time["high"] < math.inf, name
    assert {name for name in times if name.startswith("adversary/")} == {
        f"adversary/{name}" for name in adversaries(8)
    }


def test_ratios_are_those_of_the_times(report: tuple[dict[str, Any], str]) -> None:
    """With one round, a ratio is that of the two times."""
    result = report[0]
    times, rows = result["microseconds"], result["rows"]

    def ratio(slow: str, fast: str) -> float:
        return float(times[slow]["median"] / times[fast]["median"])

    for key, slow, fast in (
        ("reference", "sample/reference", "sample/gamma"),
        ("gudhi_2d", "gudhi_2d", "gamma"),
        ("two_threads", "gamma", "two_threads"),
        ("weight_maps", "some/gamma", "some/weight_maps"),
        ("dense_zeroed", "dense/zeroed", "some/gamma"),
        ("dense_as_is", "dense/as_is", "some/gamma"),
        ("cut_out", "cut_out/reference", "cut_out/gamma"),
        ("reading", "reading/in_order", "reading/shuffled"),
        ("compute", "compute/paper", "compute/one_core"),
        ("compute_workers", "compute/one_worker", "compute/two_workers"),
    ):
        assert rows[key]["value"] == pytest.approx(ratio(slow, fast)), key
    assert rows["speed"]["value"] == pytest.approx(1e6 / times["gamma"]["median"])
    for key, name in (("exact", "tiles"), ("exact_dense", "dense"), ("exact_all", "all")):
        assert rows[key]["value"] == pytest.approx(1e6 / times[f"exact/{name}"]["median"])
    for key, name in (("scores", "fields"), ("scores_fss", "with_fss")):
        assert rows[key]["value"] == pytest.approx(1e6 / times[f"scores/{name}"]["median"])
    share = 100 * (1 - ratio("exact/forward", "exact/tiles"))
    assert rows["exact_backward"]["value"] == pytest.approx(share)
    assert rows["compute_no_op"]["value"] == pytest.approx(times["compute/no_op"]["median"] / 1000)
    assert rows["compute_other"]["value"] == pytest.approx(100 * (0.5 + 0.5) / 8)
    assert result["compute"] == {"samples": 100, "seconds": IdleCompute.spent}
    hardest = max(time["median"] for name, time in times.items() if name.startswith("adversary/"))
    assert rows["worst_case"]["value"] == pytest.approx(hardest / 1000)
    for index, each in enumerate(result["bins"]):
        if each["tiles"] == 0:
            assert each["tiles_per_second"] is each["reference"] is each["gudhi_2d"] is None
            continue
        name = f"bin/{index}"
        assert each["tiles_per_second"] == pytest.approx(1e6 / times[f"{name}/gamma"]["median"])
        assert each["gudhi_2d"] == pytest.approx(ratio(f"{name}/gudhi_2d", f"{name}/gamma"))
        assert each["reference"] == pytest.approx(
            ratio(f"{name}/sample/reference", f"{name}/sample/gamma")
        )


def test_targets_stand_beside_what_was_measured(report: tuple[dict[str, Any], str]) -> None:
    result, text = report
    targets = {
        key: (row["at_least"], row["at_most"])
        for key, row in result["rows"].items()
        if row["met"] is not None
    }
    assert targets == {
        "reference": (500, None),
        "gudhi_2d": (2.5, None),
        "two_threads": (1.8, None),
        "weight_maps": (pytest.approx(1 / 3), None),
        "dense_zeroed": (None, 1.5),
        "worst_case": (None, 2.0),
        "cut_out": (20, None),
        "reading": (0.7, None),
        "exact": (5000, None),
        "exact_dense": (5000, None),
        "scores": (200, None),
        "compute": (60, None),
        "compute_other": (None, 15),
        "compute_workers": (1.6, None),
        "compute_no_op": (None, 2.0),
        "warm_seconds": (None, 1.0),
        "warm_added_mb": (None, 150),
    }
    for row in result["rows"].values():
        assert row["what"] in text
    assert "at least 500 x" in text
    assert "at most 1.5 x" in text
    assert SYNTHETIC_ATTRIBUTION in text


@pytest.mark.parametrize(
    ("value", "bounds", "met"),
    [
        (500.0, {"at_least": 500.0}, True),
        (499.9, {"at_least": 500.0}, False),
        (2.0, {"at_most": 2.0}, True),
        (2.1, {"at_most": 2.0}, False),
        (7.0, {}, None),
        (None, {"at_most": 2.0}, None),
    ],
)
def test_when_a_target_is_met(
    value: float | None, bounds: dict[str, float], met: bool | None
) -> None:
    assert bench_report.Row("key", "what", value, "x", **bounds).met is met


def _result(cut_out_side: int = 1024, **times: list[float]) -> BenchResult:
    """Make a result up: 2 µs for everything but the times given (by names with _ for /)."""
    names = [
        "read",
        "two_threads",
        "gamma",
        "gudhi_2d",
        "sample/gamma",
        "sample/reference",
        "some/weight_maps",
        "some/gamma",
        "dense/zeroed",
        "dense/as_is",
        "adversary/noise",
        "cut_out/gamma",
        "cut_out/reference",
        "scores/fields",
        "scores/with_fss",
        *(f"compute/{name}" for name in COMPUTE),
    ]
    tiles = np.ones((3, 128, 128), np.float32)
    return BenchResult(
        date="2024-07-01",
        hardware="a machine",
        load=0.0,
        versions={"numpy": "2.0"},
        rain=Rain(
            source="here",
            attribution="nobody's",
            available=3,
            tiles=tiles,
            cut_out=np.zeros((1, cut_out_side, cut_out_side), np.float32),
            thresholds=np.array([0.1, 1.0], np.float32),
        ),
        bin_tiles=[0] * (len(BINS) - 1),
        times={
            name: np.array(times.get(name.replace("/", "_"), [2.0, 2.0, 2.0])) for name in names
        },
        start=START,
        compute=Compute(100, IdleCompute.spent),
        seconds=1.0,
    )


def test_ratios_are_taken_within_rounds() -> None:
    """The machine was ten times slower in the second round: no matter."""
    result = _result(gudhi_2d=[10.0, 90.0, 30.0], gamma=[1.0, 10.0, 2.0])
    assert result.ratio("gudhi_2d", "gamma") == 10.0
    assert result.microseconds("gudhi_2d") == 30.0


def test_what_is_not_there_is_said() -> None:
    result = _result(cut_out_side=512)._replace(start=START._replace(warm_added_mb=None))
    rows = {row.key: row for row in bench_report.rows(result)}
    assert rows["cc3d"].value is None
    assert rows["warm_added_mb"].met is None
    # The target is for 1024 x 1024 pixels.
    assert rows["cut_out"].met is None
    assert "cc3d (not installed)" in bench_report.as_text(result)
    json.dumps(bench_report.as_json(result), allow_nan=False)


def test_numbers_have_three_figures_in_the_text() -> None:
    text = bench_report.as_text(_result(gamma=[41.268] * 3, gudhi_2d=[126.0] * 3))
    assert "24,200 tiles/s" in text
    assert "41.3 µs" in text
    assert "3.05 x" in text


def test_a_call_is_repeated_until_it_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of 60 ms is made twice: 120 ms, over 8 tiles."""
    clock = itertools.count()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: 0.06 * next(clock))
    calls: list[int] = []
    microseconds = timing._microseconds_per_tile(lambda batch: calls.append(len(batch)), [0] * 4)
    assert calls == [4, 4]
    assert microseconds == pytest.approx(15_000)


def test_both_ways_of_reading_read_the_whole_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_SAMPLES", 70)
    monkeypatch.setattr(reading, "_STRETCH", 32)
    rain = rain_for_bench(None, 5)
    read: dict[str, int] = {}
    getitem, chunks = zarr.Array.__getitem__, ShardedRows.chunks

    def by_zarr(self: zarr.Array[Any], selection: Any) -> Any:
        values = getitem(self, selection)
        read[self.basename] = read.get(self.basename, 0) + len(values)
        return values

    def by_chunks(self: ShardedRows, rows: Any) -> Any:
        read["shuffled"] = read.get("shuffled", 0) + len(rows)
        return chunks(self, rows)

    with reading_ways(rain) as ways:
        assert ways is not None
        assert len(ways.samples) == 70
        monkeypatch.setattr(zarr.Array, "__getitem__", by_zarr)
        monkeypatch.setattr(ShardedRows, "chunks", by_chunks)
        ways.in_order(ways.samples)
        assert read == {"rain_rate": 70, "gamma": 70}
        read.clear()
        ways.shuffled(ways.samples)
        assert read == {"shuffled": 2 * 70}


def test_without_torch_reading_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "find_spec", lambda name: None)
    with reading_ways(rain_for_bench(None, 1)) as ways:
        assert ways is None
    rows = {row.key: row for row in bench_report.rows(_result())}
    assert rows["reading"].value is rows["reading"].met is None


def test_the_exact_surrogate_is_timed_on_tiles_of_10_to_25_percent() -> None:
    tiles = np.zeros((4, 128, 128), np.float32)
    for tile, count in zip(tiles, (1638, 1639, 4096, 4097), strict=True):
        tile.flat[:count] = 1.0
    rain = _result().rain._replace(tiles=tiles)
    ways = exact.exact_ways(rain)
    assert ways is not None
    np.testing.assert_array_equal(ways.tiles, tiles[[1, 2] * 64])
    assert (ways.dense > 0).all()
    timed = {name: (way, batch) for name, way, batch in ways.one_round()}
    assert set(timed) == {"exact/forward", "exact/tiles", "exact/dense", "exact/all"}
    gamma = gamma_matrix(ways.tiles, rain.thresholds, pixel_km=2.0)
    np.testing.assert_array_equal(ways.forward(ways.tiles), gamma[:, :3])
    for name in ("exact/tiles", "exact/dense", "exact/all"):
        way, batch = timed[name]
        assert np.shape(way(batch)) == batch.shape
    assert exact.exact_ways(rain._replace(tiles=tiles[::3])) is None


def test_scores_are_timed_on_tiles_and_what_networks_put_out_for_them() -> None:
    rain = rain_for_bench(None, 5)
    ways = scores.score_ways(rain)
    np.testing.assert_array_equal(ways.pairs[:, 0], rain.tiles)
    assert (ways.pairs[:, 1] > 0).all()
    timed = {name: way(pairs) for name, way, pairs in ways.one_round()}
    fields, with_fss = timed["scores/fields"], timed["scores/with_fss"]
    assert fields.count == with_fss.count == 5
    assert fields.sums["mass_truth"] == pytest.approx(rain.tiles.sum(dtype=np.float64))
    assert fields.sums["fss_reference"].size == 0 < with_fss.sums["fss_reference"].size


def test_without_torch_the_exact_surrogate_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "find_spec", lambda name: None)
    assert exact.exact_ways(rain_for_bench(None, 5)) is None
    rows = {row.key: row for row in bench_report.rows(_result())}
    assert rows["exact"].value is rows["exact"].met is rows["exact_backward"].value is None


def test_synthetic_rain_is_cut_as_the_store_does() -> None:
    rain = rain_for_bench(None, 5)
    assert rain.tiles.shape == (5, 128, 128)
    assert rain.tiles.dtype == np.float32
    assert np.isfinite(rain.tiles).all()
    assert (rain.tiles > 0).any(axis=(1, 2)).all()
    assert rain.tiles[rain.tiles > 0].min() >= np.float32(Tiles().drizzle_mm_h)
    assert np.isfinite(rain.cut_out).all()
    np.testing.assert_array_equal(rain_for_bench(None, 5).tiles, rain.tiles)


def test_rain_of_a_folder(synthetic_archive: Path) -> None:
    rain = rain_for_bench(synthetic_archive, 10_000)
    paths = list(synthetic_archive.rglob("*.h5"))
    assert rain.source == f"composites (frames: {len(paths)})"
    assert rain.attribution == SYNTHETIC_ATTRIBUTION
    assert rain.cut_out.shape == (1, 512, 640)
    drizzle = np.float32(Tiles().drizzle_mm_h)
    expected = set()
    for path in paths:
        values = read_composite(path).values
        for row, column in itertools.product(range(0, 512, 128), range(0, 640, 128)):
            tile = values[row : row + 128, column : column + 128]
            if np.isfinite(tile).all() and (tile >= drizzle).any():
                expected.add(np.where(tile < drizzle, np.float32(0), tile).tobytes())
    assert rain.available == len(rain.tiles) == len(expected)
    assert {tile.tobytes() for tile in rain.tiles} == expected


def test_wet_covered_tiles_and_the_best_covered_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 9 x 10 tiles, 8 x 8 are covered: one has rain, one only drizzle, the others nothing."""
    frame = np.full((1152, 1280), np.nan, np.float32)
    frame[128:, 128:1152] = 0.0
    frame[130, 300:303] = [1.0, 0.05, 2.0]
    frame[700, 700] = 0.05
    frame[5, 5] = 9.0
    monkeypatch.setattr(bench_fields, "rain_field", lambda *_, **__: frame)
    rain = rain_for_bench(None, 1)
    expected = frame[128:256, 256:384].copy()
    expected[2, 45] = 0.0
    assert rain.available == 1
    np.testing.assert_array_equal(rain.tiles, expected[None])
    np.testing.assert_array_equal(rain.cut_out, frame[None, 128:, 128:1152])


def test_bins_hold_their_lower_edges() -> None:
    wet_pixels = [1, 327, 328, 1639, 9830, 9831, 16383, 16384]
    tiles = np.zeros((len(wet_pixels), 128, 128), np.float32)
    for tile, count in zip(tiles, wet_pixels, strict=True):
        tile.flat[:count] = 1.0
    result = _result()
    bins = timing._Batches.of(result.rain._replace(tiles=tiles)).bins
    counts = [np.count_nonzero(members, axis=(1, 2)).tolist() for members in bins]
    assert counts == [[1, 327], [328], [1639], [9830], [9831, 16383, 16384]]


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "2024" / "07" / "01").mkdir(parents=True)
    (tmp_path / "2024" / "13" / "what").mkdir(parents=True)
    with pytest.raises(InputError, match="no rain to time"):
        rain_for_bench(tmp_path, 5)


def test_corridors_are_one_long_way() -> None:
    """Rain along a corridor is one component without holes, and reaches half of the field."""
    fields = adversaries(16)
    assert len(fields) == 24
    for name in ("serpentine across", "serpentine down", "spiral"):
        gamma = gamma_matrix(fields[name], [0.5], pixel_km=1.0)[:, 0]
        area, components, holes = (
            gamma[FUNCTIONALS.index(functional)] for functional in ("area", "components", "holes")
        )
        assert (components, holes) == (1, 0), name
        assert area > 0.5 * 16 * 16
        rising = fields[f"{name}, rising, rough walls"]
        corridor = fields[name] > 0
        assert rising[corridor].min() > rising[~corridor].max()
        # Rising steadily: from the lowest pixel on, the next is beside the last.
        way = np.argwhere(corridor)[np.argsort(rising[corridor])]
        assert (np.abs(np.diff(way, axis=0)).sum(axis=1) == 1).all(), name
        np.testing.assert_array_equal(
            fields[f"{name}, inverted"], fields[name].max() - fields[name]
        )


def test_dense_fields_are_wet_everywhere_and_dry_again_without_drizzle() -> None:
    tiles = np.zeros((2, 128, 128), np.float32)
    tiles[:, 60:70, 60:70] = 5.0
    before = tiles.copy()
    dense = network_like(tiles)
    assert dense.dtype == np.float32
    assert (dense > 0).all()
    assert 0 < np.count_nonzero(dense >= 0.1) < 0.2 * dense.size
    np.testing.assert_array_equal(tiles, before)


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["--tiles", "0"], 2, "0 is not in the range"),
        (["--repeats", "0"], 2, "0 is not in the range"),
        (["nowhere"], 2, "'nowhere' does not exist"),
        (["."], 2, "give another folder, or none for synthetic rain"),
    ],
)
def test_wrong_arguments_are_explained(
    tmp_path: Path, arguments: list[str], status: int, expected: str
) -> None:
    done = minkgen("bench", *arguments, cwd=tmp_path)
    assert done.returncode == status
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_compute_is_timed_on_real_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_TRAINING_FRAMES", 8), ("_SYNTHETIC_FRAMES", 3), ("_NO_OPS", 50)):
        monkeypatch.setattr(bench_compute, name, value)
    with bench_compute.compute_ways(None) as ways:
        random, calls = np.random.default_rng(0), {}
        for number in range(2):
            for name, way, batch in ways.one_round(number, random):
                way(batch)
                calls[name] = len(batch)
    assert set(calls) == {f"compute/{name}" for name in COMPUTE}
    assert calls["compute/one_core"] == ways.samples > 8 * 10
    assert calls["compute/no_op"] == 50
    assert len(ways.spent) == 2
    for run in ways.spent:
        assert set(run) == {*STAGES, "other"}
        assert all(seconds > 0 for seconds in run.values())


@pytest.mark.slow
def test_starting_processes_cold_and_warm() -> None:
    start = measure_start()
    assert all(value is None or value > 0 for value in start)
    # Compiling takes seconds; reading compiled code does not. Memory: the imports alone take 50 MB.
    assert start.cold_seconds > start.warm_seconds
    if sys.platform == "linux":
        assert start.cold_peak_mb is not None
        assert start.warm_added_mb is not None
        assert start.cold_peak_mb > 50 + start.warm_added_mb
