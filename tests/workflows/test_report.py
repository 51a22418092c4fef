"""Report: what is gathered is what the store holds, and nothing is written."""

from __future__ import annotations

import io
import json
import shutil
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result
from matplotlib.image import imread

import minkgen
from minkgen.cli.main import cli
from minkgen.errors import InputError, StoreError
from minkgen.evaluate.report.blocks import (
    Block,
    Calendar,
    Curves,
    Facts,
    Pictures,
    RasterMap,
    Report,
    Score,
    Section,
    Series,
    Table,
    Text,
    Timeline,
)
from minkgen.grid import TEST_2KM
from minkgen.recipe import FlagRules
from minkgen.store.composites import create_composites
from minkgen.store.layout import OPERA_ATTRIBUTION, SYNTHETIC_ATTRIBUTION, StorePaths
from minkgen.store.ledger import DayLedger, Slot, State, write_ledger
from minkgen.workflows.inspect import inspect_store
from minkgen.workflows.progress import Silent
from minkgen.workflows.report import gather_report
from minkgen.workflows.report.contents import Contents, open_contents, spread_rows
from minkgen.workflows.report.curves import gamma_section
from minkgen.workflows.report.ledger import flags_section
from minkgen.workflows.report.places import places_section
from minkgen.workflows.report.runs import evaluations_section, trainings_section
from tests.report_stores import put_runs, write_large_store

SPLITS = ("train", "validation", "test")
Kind = TypeVar("Kind", bound=Block)


@pytest.fixture(scope="module")
def report(computed_store: Path) -> Report:
    before = state_of(computed_store)
    report = gather_report(computed_store)
    assert state_of(computed_store) == before, "something was written into the store"
    return report


@pytest.fixture(scope="module")
def features(computed_store: Path) -> dict[str, xr.Dataset]:
    return {split: minkgen.open_features(computed_store, split).load() for split in SPLITS}


def blocks(report: Report, section: str, kind: type[Kind]) -> list[Kind]:
    (found,) = [each for each in report.sections if each.name == section]
    return [block for block in found.blocks if isinstance(block, kind)]


def only(gather: Callable[[Contents], Section | None], store: Path) -> Report:
    """Return a report of one section; most of the time of a whole one goes into pictures."""
    section = gather(open_contents(store, Silent()))
    assert section is not None
    return Report("", (), (section,), "")


def names(report: Report) -> list[str]:
    return [section.name for section in report.sections]


def cells(table: Table) -> dict[Any, dict[str, Any]]:
    """Return the rows of a table by their first cell, and each by the columns' heads."""
    return {row.cells[0]: dict(zip(table.columns, row.cells, strict=True)) for row in table.rows}


def state_of(root: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of all files and folders."""
    found = {path: path.lstat() for path in [root, *root.rglob("*")]}
    return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


def test_the_sections_are_those_whose_data_are_there(report: Report) -> None:
    assert names(report) == [
        *("ledger", "splits", "places", "thresholds", "persistence"),
        *("gamma", "gallery", "flags", "provenance"),
    ]
    assert report.attribution == SYNTHETIC_ATTRIBUTION


def test_samples_are_counted_by_split(report: Report, features: dict[str, xr.Dataset]) -> None:
    table = cells(blocks(report, "splits", Table)[0])
    for split, data in features.items():
        row = table[split]
        wet = int((data["max_rate"] >= 0.1).sum())
        assert (row["samples"], row["wet"]) == (data.sizes["sample"], wet)
        assert row["composites"] == len(np.unique(data["time"]))
        places = set(zip(data["row"].values.tolist(), data["column"].values.tolist(), strict=True))
        assert row["positions"] == len(places)
        assert row["last sample"] == f"{data['time'].values.max().astype('M8[s]').item():%F %R}"
    shown = dict(report.summary)["samples"]
    assert shown == ", ".join(f"{features[split].sizes['sample']} {split}" for split in SPLITS)


def test_the_timeline_has_the_windows_as_cut_and_the_gaps(report: Report) -> None:
    (timeline,) = blocks(report, "splits", Timeline)
    spans = {(span.lane, span.start, span.end) for span in timeline.spans}

    def at(hour: int, minute: int = 0) -> datetime:
        return datetime(2024, 7, 1, hour, minute, tzinfo=UTC)

    assert spans == {
        ("train", at(0), at(3)),
        ("validation", at(3, 30), at(4, 30)),
        ("test", at(5), at(6)),
        ("gap", at(3), at(3, 30)),
        ("gap", at(4, 30), at(5)),
    }


def test_the_calendar_counts_slots(report: Report, computed_store: Path) -> None:
    (calendar,) = blocks(report, "ledger", Calendar)
    (day,) = calendar.days
    states = inspect_store(computed_store).states()
    assert dict(zip(calendar.states, day.counts, strict=True)) == states
    assert states["ok"] == 24
    assert day.era in cells(blocks(report, "ledger", Table)[0])


@pytest.fixture
def paths(tmp_path: Path) -> StorePaths:
    """Return a store with three slots, none of which is there."""
    paths = StorePaths(tmp_path / "store")
    create_composites(paths, TEST_2KM, (2024, 2024))
    day = datetime(2024, 7, 5, tzinfo=UTC)
    states: tuple[tuple[int, State, str | None], ...] = (
        (1, "failed", "connection lost"),
        (2, "corrupt", "no HDF5"),
        (3, "absent", None),
    )
    slots = {
        day.replace(hour=hour): Slot(state, 1, "2024-07-06T00:00:00Z", reason=reason)
        for hour, state, reason in states
    }
    write_ledger(paths, DayLedger(day.date(), slots))
    return paths


def test_failed_slots_are_listed_with_their_reasons(paths: StorePaths) -> None:
    report = gather_report(paths.root)
    (table,) = blocks(report, "ledger", Table)
    assert [row.cells for row in table.rows] == [
        ("2024-07-05 01:00", "failed", 1, "connection lost"),
        ("2024-07-05 02:00", "corrupt", 1, "no HDF5"),
    ]
    assert blocks(report, "ledger", Text)[0].tone == "warning"
    assert names(report) == ["ledger", "provenance"]


def test_maps_count_samples_where_they_are(report: Report, features: dict[str, xr.Dataset]) -> None:
    maps = {each.title: each for each in blocks(report, "places", RasterMap)}
    whole = maps["Samples of all splits"]
    assert whole.values.shape == (4, 5)
    assert whole.extent_km == (1280.0, 1024.0)
    counted = {split: np.zeros((4, 5)) for split in features}
    for split, data in features.items():
        for row, column in zip(data["row"].values, data["column"].values, strict=True):
            counted[split][row // 128, column // 128] += 1
        assert np.array_equal(np.nan_to_num(maps[f"Samples of {split}"].values), counted[split])
    assert np.array_equal(np.nan_to_num(whole.values), sum(counted.values()))


def test_positions_that_no_radar_sees_are_empty_and_others_may_have_no_sample(
    report: Report, ingested_store: Path
) -> None:
    maps = {each.title: each for each in blocks(report, "places", RasterMap)}
    rain = xr.open_zarr(ingested_store / "composites.zarr", group="rain_rate", chunks=None)
    covered = rain["rain_rate"].sel(time="2024-07-01T02:00").notnull().values
    tiles = covered.reshape(4, 128, 5, 128).mean(axis=(1, 3))
    assert np.array_equal(np.isnan(maps["Samples of all splits"].values), tiles == 0)
    # The synthetic radars see the same pixels all the time.
    share = maps["Radar coverage"]
    cell = -(-640 // 110)
    assert share.values.shape == (-(-512 // cell), -(-640 // cell))
    assert share.values[20, 30] == pytest.approx(
        100 * covered[20 * cell : 21 * cell, 30 * cell : 31 * cell].mean(), abs=1e-3
    )


def test_exceedances_are_shares_of_the_wet_pixels_and_of_the_samples(
    report: Report, features: dict[str, xr.Dataset]
) -> None:
    table = blocks(report, "thresholds", Table)[0]
    rain = features["train"]["rain_rate"].values
    wet = rain[rain > 0]
    thresholds = features["train"]["threshold"].values
    assert [row.cells[0] for row in table.rows] == thresholds.tolist()
    for row, threshold in zip(cells(table).values(), thresholds, strict=True):
        share = 100 * (wet >= threshold).mean()
        assert row["wet pixels [%]"] == pytest.approx(share)
        reach = 100 * (features["test"]["max_rate"].values >= threshold).mean()
        assert row["test samples [%]"] == pytest.approx(reach)
    (rates,) = blocks(report, "thresholds", Curves)
    assert pixels(rates.series[0]) == pytest.approx(wet.size)
    facts = dict(blocks(report, "thresholds", Facts)[0].pairs)
    assert facts["wet pixels counted"] == f"{wet.size:,}"


def pixels(series: Series) -> float:
    """Return what a histogram per 0.01 mm/h counts."""
    return float((series.y * np.diff(series.x)).sum() * 100)


def test_lifetimes_are_all_in_the_histogram_and_floors_are_marked(
    report: Report, computed_store: Path
) -> None:
    (path,) = (computed_store / "climate").glob("*.json")
    climate = json.loads(path.read_text())
    (chart,) = blocks(report, "persistence", Curves)
    (table,) = blocks(report, "persistence", Table)
    for series in chart.series:
        counts = climate["histograms"][f"{series.name}_lifetimes"]["counts"]
        assert pixels(series) == pytest.approx(sum(counts))
        assert cells(table)[series.name]["pairs"] == sum(counts)
    assert {mark.name: mark.x for mark in chart.marks} == {
        f"floor of {name}": climate["floors"][name]["epsilon"] for name in ("components", "holes")
    }
    for row in cells(table).values():
        assert 0 < row["of them above it [%]"] <= 5.0


def test_gamma_curves_are_medians_of_the_samples_of_a_class(
    report: Report, features: dict[str, xr.Dataset]
) -> None:
    charts = {chart.title: chart for chart in blocks(report, "gamma", Curves)}
    assert len(charts) == 8
    perimeter = charts["Perimeter: median by wet fraction"]
    lines = {(line.split, line.name.partition(",")[0]): line for line in perimeter.series}
    data = features["validation"]
    share = data["wet_fraction"].values
    gamma = data["gamma"].sel(functional="perimeter").values
    seen = 0
    for low, high, name in ((0.0, 0.02, "0-2 %"), (0.02, 0.1, "2-10 %"), (0.1, 0.3, "10-30 %")):
        chosen = (share > low) & (share <= high)
        if chosen.any():
            seen += 1
            line = lines["validation", name]
            assert line.y == pytest.approx(np.median(gamma[chosen], axis=0))
            assert line.name.endswith(f"({chosen.sum()})")
    assert seen
    holes = charts["Holes: mean over log1p by wet fraction"].series[0]
    first = features["train"]
    name = holes.name.partition(",")[0]
    low, high = (float(edge) / 100 for edge in name.removesuffix(" %").split("-"))
    chosen = (first["wet_fraction"].values > low) & (first["wet_fraction"].values <= high)
    logs = np.log1p(first["gamma"].sel(functional="holes").values[chosen].astype(float))
    assert holes.y == pytest.approx(np.expm1(logs.mean(axis=0)))


def test_the_gallery_shows_the_samples_that_it_names(
    report: Report, features: dict[str, xr.Dataset]
) -> None:
    (pictures,) = blocks(report, "gallery", Pictures)
    captions = [picture.caption for picture in pictures.pictures]
    assert [caption.partition(":")[0] for caption in captions] == [
        f"{kind}, {split}" for split in SPLITS for kind in ("Extreme", "Median", "Fragmented")
    ]
    for picture in pictures.pictures:
        assert len(picture.png) < 60_000
        assert imread(io.BytesIO(picture.png)).shape[1] == 720
    data = features["test"]
    place = int(np.argmax(data["max_rate"].values))
    time = data["time"].values[place].astype("M8[s]").item()
    assert f"{time:%F %R} UTC, row {int(data['row'][place])}," in captions[6]
    fragmented = data["gamma"].sel(functional="components").max("threshold") / data["wet_fraction"]
    enough = data["wet_fraction"] >= (0.1 if (data["wet_fraction"] >= 0.1).any() else 1e-12)
    place = int(np.argmax(fragmented.where(enough, -1.0).values))
    assert f"{100 * float(data['wet_fraction'][place]):.1f} % wet" in captions[8]


def test_flags_are_counted_by_the_rules_of_the_recipe(
    report: Report, computed_store: Path, features: dict[str, xr.Dataset], tmp_path: Path
) -> None:
    (table,) = blocks(report, "flags", Table)
    found = {flag: row["composites"] for flag, row in cells(table).items()}
    assert found == inspect_store(computed_store).flags()
    assert {row["left out by the recipe"] for row in cells(table).values()} == {"no"}
    # Of the snapshot, not the default ones: with a low bound every frame is a spike.
    store = tmp_path / "store"
    shutil.copytree(computed_store, store, symlinks=True)
    root = (store / "features" / "current").resolve() / "zarr.json"
    metadata = json.loads(root.read_text())
    metadata["attributes"]["minkgen"]["recipe"]["flags"]["spike"]["above_mm_h"] = 0.001
    metadata["attributes"]["minkgen"]["recipe"]["exclude_flags"] = ["spike"]
    root.chmod(0o644)
    root.write_text(json.dumps(metadata))
    changed = only(flags_section, store)
    spike = cells(blocks(changed, "flags", Table)[0])["spike"]
    assert spike["composites"] == 24
    assert spike["share [%]"] == 100.0
    assert spike["train samples"] == features["train"].sizes["sample"]
    assert spike["left out by the recipe"] == "yes"
    (rules,) = blocks(changed, "flags", Facts)
    assert dict(rules.pairs)["spike"] == "above [mm/h] 0.001"
    assert FlagRules().spike.above_mm_h > 0


def test_provenance_has_licence_digests_versions_recipe_and_history(
    report: Report, computed_store: Path
) -> None:
    snapshot, libraries, recipe = blocks(report, "provenance", Facts)
    root = (computed_store / "features" / "current").resolve() / "zarr.json"
    metadata = json.loads(root.read_text())["attributes"]["minkgen"]
    assert metadata["hash"] in dict(snapshot.pairs).values()
    assert metadata["inputs"]["digest"] in dict(snapshot.pairs).values()
    assert dict(libraries.pairs) == metadata["library_versions"]
    assert dict(recipe.pairs)["tiles.size"] == "128"
    assert dict(recipe.pairs)["splits.gap_hours"] == "0.5"
    assert SYNTHETIC_ATTRIBUTION in blocks(report, "provenance", Text)[0].text
    shelf, history = blocks(report, "provenance", Table)
    (row,) = shelf.rows
    assert row.cells[:2] == (history.rows[-1].cells[2], "yes")


def test_a_store_without_a_snapshot_has_its_composites(ingested_store: Path) -> None:
    report = gather_report(ingested_store)
    assert names(report) == ["ledger", "places", "flags", "provenance"]
    assert [each.title for each in blocks(report, "places", RasterMap)] == ["Radar coverage"]
    assert dict(report.summary)["snapshot"] == "none is published"


def test_a_snapshot_alone_is_enough(computed_store: Path, report: Report, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(computed_store / "features", store / "features", symlinks=True)
    alone = gather_report(store)
    assert names(alone) == [
        *("splits", "places", "thresholds", "persistence", "gamma", "gallery", "provenance")
    ]
    maps = {each.title: each for each in blocks(alone, "places", RasterMap)}
    before = {each.title: each for each in blocks(report, "places", RasterMap)}
    assert set(maps) == set(before) - {"Radar coverage"}
    for title, each in maps.items():
        assert np.array_equal(np.nan_to_num(each.values), np.nan_to_num(before[title].values))
    # The histograms are with the composites: no climatology is made up.
    assert blocks(alone, "thresholds", Curves) == blocks(alone, "persistence", Curves) == []
    for row in cells(blocks(alone, "thresholds", Table)[0]).values():
        assert row["wet pixels [%]"] is None


def test_composites_that_were_deleted_are_not_asked_for(
    computed_store: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    without = shutil.ignore_patterns("composites.zarr")
    shutil.copytree(computed_store, store, symlinks=True, ignore=without)
    assert "Radar coverage" not in [
        each.title for each in blocks(only(places_section, store), "places", RasterMap)
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("nothing", "there is no store here"), ("s3://bucket/store", "needs a store in a folder")],
)
def test_what_is_no_store_is_refused(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match=expected):
        gather_report(Path(name))
    with pytest.raises(StoreError, match="no store here"):
        gather_report(tmp_path / "empty")


@pytest.fixture
def with_runs(tmp_path: Path) -> tuple[Path, dict[str, Path]]:
    store = write_large_store(tmp_path / "store", 100)
    return store, put_runs(store, "large-000000000000")


def test_evaluations_bring_their_tables_and_figures(
    with_runs: tuple[Path, dict[str, Path]],
) -> None:
    report = only(evaluations_section, with_runs[0])
    tables = {
        table.title.partition(" (")[0]: table for table in blocks(report, "evaluations", Table)
    }
    superres = cells(tables["Super-resolution, 25 km to 2 km: superres-evaluation-00000002"])
    assert superres["U-Net"]["L_M (counting)"] == Score(8.25, "8.250")
    assert superres["Bicubic"]["RAPSD ratio, truth / predicted"] is None
    surrogates = cells(tables["Scores: evaluation-00000001"])
    assert surrogates["L_M (counting)"]["Lip-CNN"] == Score(15.25, "15.250 ± 0.500")
    assert surrogates["isoperimetric [% sets]"]["Lip-CNN"].text == "12.50"
    assert next(iter(tables)).startswith("Super-resolution"), "the latest comes first"
    behind = cells(tables["Trainings behind evaluation-00000001"])
    assert behind["Lip-CNN"]["run"] == "emulator-00000003"
    assert behind["Lip-CNN"]["best epoch"] == 2
    figures = [
        picture for block in blocks(report, "evaluations", Pictures) for picture in block.pictures
    ]
    assert [picture.split for picture in figures] == ["test"] * 3
    assert imread(io.BytesIO(figures[0].png)).shape[1] == 1000


def test_trainings_bring_their_losses(with_runs: tuple[Path, dict[str, Path]]) -> None:
    charts = blocks(only(trainings_section, with_runs[0]), "trainings", Curves)
    lines = {line.name: line for chart in charts for line in chart.series}
    found = {name: (line.x.tolist(), line.y.tolist()) for name, line in lines.items()}
    epochs = [1.0, 2.0, 3.0]
    assert found["emulator-00000003 (lip-cnn, seed 0), training"] == (epochs, [4.0, 3.0, 2.5])
    assert found["emulator-00000003 (lip-cnn, seed 0), validation"] == (epochs, [5.0, 4.0, 3.5])
    assert found["superres-00000004 (unet + exact, seed 1), validation"] == (
        epochs,
        [4.0, 3.0, 2.5],
    )


def test_an_evaluation_that_cannot_be_read_is_said_and_the_others_stay(
    with_runs: tuple[Path, dict[str, Path]],
) -> None:
    store, folders = with_runs
    (folders["superres"] / "superres_throughput.json").unlink()
    report = only(evaluations_section, store)
    (warning,) = [each for each in blocks(report, "evaluations", Text) if each.tone == "warning"]
    assert "superres-evaluation-00000002 is left out: the evaluation cannot be read" in warning.text
    assert any(
        table.title == "Scores: evaluation-00000001"
        for table in blocks(report, "evaluations", Table)
    )


def test_figures_are_bounded(
    with_runs: tuple[Path, dict[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (store, _), (first, *_rest) = (
        with_runs,
        [
            picture
            for block in blocks(only(evaluations_section, with_runs[0]), "evaluations", Pictures)
            for picture in block.pictures
        ],
    )
    monkeypatch.setattr("minkgen.workflows.report.runs.MOST_FIGURE_BYTES", len(first.png) + 10)
    report = only(evaluations_section, store)
    (pictures,) = blocks(report, "evaluations", Pictures)
    assert len(pictures.pictures) == 1
    texts = [text.text for text in blocks(report, "evaluations", Text)]
    assert [text.split(" are ")[0] for text in texts] == ["1 more figures", "1 more figures"]


def test_an_evaluation_of_another_snapshot_says_so(
    with_runs: tuple[Path, dict[str, Path]],
) -> None:
    store, folders = with_runs
    path = folders["superres"] / "superres.json"
    path.write_text(path.read_text().replace("large-000000000000", "large-111111111111"))
    (warning,) = [
        each
        for each in blocks(only(evaluations_section, store), "evaluations", Text)
        if each.tone == "warning"
    ]
    assert "is of large-111111111111, which is not current" in warning.text


def test_a_damaged_log_of_a_training_is_an_error_that_names_it(
    with_runs: tuple[Path, dict[str, Path]],
) -> None:
    store, folders = with_runs
    (folders["emulator"] / "metrics.jsonl").write_text('{"epoch": 1')
    with pytest.raises(StoreError, match="log of a training") as caught:
        only(trainings_section, store)
    assert "emulator-00000003" in str(caught.value)


def test_gamma_of_very_many_samples_is_read_in_part(tmp_path: Path) -> None:
    store = write_large_store(tmp_path / "store", 50_000)
    tracemalloc.start()
    report = only(gamma_section, store)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    (note,) = {chart.note for chart in blocks(report, "gamma", Curves)}
    assert "Of 4096 of 50000 train, 4088 of 5000 validation" in note
    # All γ of the training split alone are 34 MB.
    assert peak < 25e6
    rows = spread_rows(50_000, 16)
    assert (rows[0], rows[-1], len(np.unique(rows))) == (0, 49_999, 4096)
    assert np.diff(rows).max() < 2 * 50_000 / 256


@pytest.mark.slow
def test_a_million_samples_are_gathered_in_bounded_memory(tmp_path: Path) -> None:
    store = write_large_store(tmp_path / "store", 1_000_000)
    tracemalloc.start()
    report = gather_report(store)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    table = cells(blocks(report, "splits", Table)[0])
    assert table["train"]["samples"] == 1_000_000
    whole = next(each for each in blocks(report, "places", RasterMap))
    assert np.nansum(whole.values) == 1_200_000
    # All γ are 0.8 GB.
    assert peak < 150e6


def test_the_command_writes_a_page_and_says_what_is_on_it(paths: StorePaths) -> None:
    def report(*arguments: object) -> Result:
        return CliRunner().invoke(cli, ["report", *map(str, arguments)])

    page = paths.root.parent / "page.html"
    done = report(paths.root, "-o", page, "--json", "-q")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == {
        "store": str(paths.root),
        "report": str(page),
        "bytes": page.stat().st_size,
        "sections": ["ledger", "provenance"],
        "attribution": OPERA_ATTRIBUTION,
    }
    text = page.read_text(encoding="utf-8")
    assert text.lower().startswith("<!doctype html>")
    assert "connection lost" in text
    assert page.as_uri() in done.stderr
    refused = report(paths.root, "-o", "page.pdf")
    assert refused.exit_code == 2
    assert "does not end in .html" in refused.stderr
    assert isinstance(report(paths.root, "-o", page / "page.html").exception, InputError)
    assert isinstance(report(paths.root / "nothing", "-o", page).exception, StoreError)
    assert page.read_text(encoding="utf-8") == text
