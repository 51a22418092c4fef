"""Rain fields of one's own, the whole way: a NetCDF file in, a verified snapshot out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import minkgen
from minkgen.cli.main import cli
from minkgen.cli.outputs import OUTPUTS
from minkgen.errors import RecipeError, SourceError, StoreError
from minkgen.evaluate.report.blocks import Calendar, RasterMap, Table
from minkgen.grid import TEST_2KM
from minkgen.recipe import Recipe
from minkgen.recipe_file import load_recipe
from minkgen.store.composites import create_composites, open_composites
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import read_ledger
from minkgen.store.snapshot import SPLITS, open_snapshot
from minkgen.workflows.derived import plan_from_snapshot
from minkgen.workflows.ingest import bring_own_fields, ingest
from minkgen.workflows.inspect import draw_report, inspect_store
from minkgen.workflows.progress import Silent
from minkgen.workflows.report.contents import open_contents
from minkgen.workflows.report.ledger import ledger_section
from minkgen.workflows.report.places import places_section
from minkgen.workflows.show import look_at_store
from minkgen.workflows.verify.run import verify_store
from tests.own.made_up import START, Float32, dataset, rain

FIELDS, HEIGHT, WIDTH = 18, 256, 384
RECIPE = """
name: mine
store: {store}
source:
  kind: xarray
  path: {path}
  attribution: Radar of the university
  licence: CC BY 4.0
period: {{start: 2024-07-01T00:00, end: 2024-07-01T03:00}}
splits:
  train: {{start: 2024-07-01T00:00, end: 2024-07-01T01:30}}
  validation: {{start: 2024-07-01T01:30, end: 2024-07-01T02:15}}
  test: {{start: 2024-07-01T02:15, end: 2024-07-01T03:00}}
  gap_hours: 0.25
tiles: {{dry_fraction: 0}}
cluster: {{workers: 1}}
"""


@pytest.fixture(scope="module")
def rates() -> Float32:
    """Return fields in which one is missing, one is faulty, and a corner is never covered."""
    made = rain(FIELDS, HEIGHT, WIDTH)
    made[:, 200:, :100] = np.nan
    made[4, 10, 20] = -1.0
    return made


@pytest.fixture(scope="module")
def computed(rates: Float32, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Return a folder with file, recipe and store, and what `minkgen compute` said."""
    folder = tmp_path_factory.mktemp("own")
    data = dataset(rates).isel(y=slice(None, None, -1))  # south first, as many files are
    data.isel(time=[*range(7), *range(8, FIELDS)]).to_netcdf(folder / "rain.nc", engine="h5netcdf")
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(store=folder / "store", path=folder / "rain.nc"))
    done = CliRunner().invoke(cli, ["compute", str(recipe), "--json"], standalone_mode=False)
    assert done.exception is None, done.output
    return folder, done


@pytest.fixture(scope="module")
def store(computed: tuple[Path, Any]) -> Path:
    return computed[0] / "store"


def time_of(number: int) -> datetime:
    return datetime(2024, 7, 1, tzinfo=UTC) + number * timedelta(minutes=10)


def test_compute_brings_in_what_is_missing(computed: tuple[Path, Any]) -> None:
    said = json.loads(computed[1].stdout)
    assert computed[1].return_value == 3  # a field is corrupt
    OUTPUTS["compute"].model_validate(said)
    assert said["brought"]["newly_ok"] == FIELDS - 2
    [bad] = said["brought"]["newly_bad"]
    assert bad.startswith("2024-07-01T00:40 corrupt: a rain rate is negative")
    assert said["parts"] == 3


def test_every_slot_has_its_state(store: Path) -> None:
    ledger = read_ledger(StorePaths(store, "own_rain_rate"), START.astype(object).date())
    states = {time: slot.state for time, slot in ledger.slots.items()}
    expected = {time_of(number): "ok" for number in range(FIELDS)}
    assert states == expected | {time_of(4): "corrupt", time_of(7): "absent"}


def test_the_store_verifies(store: Path) -> None:
    report = verify_store(store, samples=4, deep=True)
    failed = [each for each in report.verdicts if each.finding.outcome == "failed"]
    assert failed == []


def test_samples_are_tiles_of_the_fields(store: Path, rates: Float32) -> None:
    """γ, rain and places of every sample are those of the array that was written."""
    snapshot = open_snapshot(store)
    file = dataset(rates)
    floors = snapshot.metadata["floors"]
    count = 0
    for split in SPLITS:
        samples = xr.open_zarr(snapshot.path, group=split).load()
        count += samples.sizes["sample"]
        for index in range(samples.sizes["sample"]):
            sample = samples.isel(sample=index)
            field = file["rain"].sel(time=sample["time"].values)
            row, column = int(sample["row"]), int(sample["column"])
            tile = field[row : row + 128, column : column + 128]
            assert float(sample["y0"]) == float(tile["y"][0])
            assert float(sample["x0"]) == float(tile["x"][0])
            np.testing.assert_array_equal(sample["y"], tile["y"] - tile["y"][0])
            rate = np.where(tile.values < np.float32(0.1), np.float32(0.0), tile.values)
            np.testing.assert_array_equal(sample["rain_rate"], rate)
            gamma = minkgen.gamma_matrix(
                rate,
                snapshot.thresholds,
                pixel_km=1.0,
                min_persistence=tuple(floors[k]["epsilon"] for k in ("components", "holes")),
            )
            np.testing.assert_array_equal(sample["gamma"], gamma)
    # Of 6 tiles one is not covered; of 9, 3 and 3 fields in the trimmed windows, two are not ok.
    assert count == 5 * 13
    assert snapshot.pixel_km == 1.0


def test_nothing_claims_to_be_of_opera(store: Path) -> None:
    said = "Data: Radar of the university, CC BY 4.0"
    snapshot = open_snapshot(store)
    assert snapshot.metadata["attribution"] == said
    look = look_at_store(store, time_of(2), (0, 128))
    assert look.content["attribution"] == said
    assert look.content["pixel_km"] == 1.0
    report = inspect_store(store)
    assert report.attribution() == said
    draw_report(report, store.parent / "calendar.png")
    texts = [path.read_text() for path in store.rglob("zarr.json")]
    assert not any("OPERA" in text for text in texts)


def test_a_store_opens_in_its_own_projection(store: Path) -> None:
    mapping = xr.open_zarr(open_snapshot(store).path, group="train")["spatial_ref"]
    assert mapping.attrs["projected_crs_name"] == "ETRS89-extended / LAEA Europe"
    composites = xr.open_zarr(store / "composites.zarr", group="own_rain_rate")
    assert composites["rain_rate"].sizes["y"] == HEIGHT
    assert float(composites["y"][0]) > float(composites["y"][-1])


def test_once_all_is_there_it_is_kept(store: Path) -> None:
    recipe = load_recipe(store.parent / "recipe.yaml")
    again = bring_own_fields(recipe)
    assert again is not None
    assert (again.newly_ok, again.newly_bad) == (0, ())


def test_a_snapshot_can_be_made_of_a_snapshot(store: Path) -> None:
    floor = {"kind": "given", "value_mm_h": 0.1}
    recipe = load_recipe(
        store.parent / "recipe.yaml",
        [
            f"persistence={json.dumps({'components': floor, 'holes': floor})}",
            'thresholds={"kind": "physical", "values": [1.0, 5.0]}',
        ],
    )
    derived = plan_from_snapshot(recipe, "current", None, Silent(), new_version=True)
    assert derived.plan.grid == open_composites(StorePaths(store, recipe.group)).grid
    assert derived.plan.metadata["own_grid"] == open_snapshot(store).metadata["own_grid"]


def test_other_fields_need_another_store(store: Path, tmp_path: Path) -> None:
    recipe = load_recipe(store.parent / "recipe.yaml")
    finer = tmp_path / "finer.nc"
    dataset(rain(4, 64, 64), pixel_m=500.0, minutes=5).to_netcdf(finer, engine="h5netcdf")
    other = recipe.model_copy(
        update={"source": recipe.source.model_copy(update={"path": str(finer)})}
    )
    with pytest.raises(StoreError, match="made by another recipe") as caught:
        ingest(other)
    assert "pixel_km" in str(caught.value)
    assert "minutes" in str(caught.value)
    with pytest.raises(StoreError, match="not both"):
        create_composites(StorePaths(store), TEST_2KM, (2024, 2024))


def test_opera_and_own_fields_share_no_store(tmp_path: Path) -> None:
    create_composites(StorePaths(tmp_path / "store"), TEST_2KM, (2024, 2024))
    grid = replace(TEST_2KM, name="own")
    with pytest.raises(StoreError, match="not both"):
        create_composites(
            StorePaths(tmp_path / "store", "own_rain_rate"), grid, (2024, 2024), minutes=10
        )


@pytest.mark.parametrize("minutes", [1, 5, 60, 720])
def test_any_step_that_divides_a_day_has_its_time_axis(tmp_path: Path, minutes: int) -> None:
    paths = StorePaths(tmp_path, "own_rain_rate")
    grid = replace(TEST_2KM, name="own", height=8, width=9)
    create_composites(paths, grid, (2024, 2024), minutes)
    composites = open_composites(paths)
    day = START.astype(object).date()
    shards = composites.shards_of(day)
    assert composites.grid == grid
    assert sum(map(len, shards)) == 1440 // minutes
    assert {len(shard) for shard in shards} == {composites.product.frames_per_shard}
    times = xr.open_zarr(tmp_path / "composites.zarr", group="own_rain_rate")["time"]
    assert times.size == 366 * 1440 // minutes
    assert times[1] - times[0] == np.timedelta64(minutes, "m")


def own_recipe(path: str, **sections: Any) -> dict[str, Any]:
    windows = {
        "train": {"start": "2024-07-01T00:00", "end": "2024-07-01T01:00"},
        "validation": {"start": "2024-07-01T01:00", "end": "2024-07-01T02:00"},
        "test": {"start": "2024-07-01T02:00", "end": "2024-07-01T03:00"},
        "gap_hours": 0,
    }
    period = {"start": "2024-07-01T00:00", "end": "2024-07-01T03:00"}
    source = {"kind": "xarray", "path": path}
    return {
        "name": "mine",
        "store": "store",
        "source": source,
        "period": period,
        "splits": windows,
        **sections,
    }


def refused(tmp_path: Path, recipe: dict[str, Any]) -> str:
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(recipe))
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    return str(caught.value)


def test_a_recipe_of_own_fields_asks_for_no_grid(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(own_recipe("rain.nc"))
    assert (recipe.grid, recipe.group, recipe.is_own) == ("own", "own_rain_rate", True)
    assert Recipe.model_validate(own_recipe("rain.nc", grid="own")) == recipe


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"grid": "opera_2km"}, "grid: opera_2km is one of OPERA's"),
        ({"product": "DBZH"}, "product: fields of your own are rain rates"),
        ({"hourly": True}, "hourly: sums are made of OPERA's RATE"),
        ({"source": {"path": "."}, "grid": "own"}, "own goes with source.kind xarray"),
        ({"source": {"kind": "xarray", "path": "s3://key:secret@x/y"}}, "without user, password"),
        ({"source": {"kind": "xarray", "path": "reference::x.json"}}, "without user, password"),
        ({"source": {"kind": "xarray", "path": []}}, "source"),
        ({"source": {"kind": "xarray", "path": "a.nc", "grid": "x"}}, "unknown key"),
    ],
)
def test_what_does_not_fit_own_fields_is_refused(
    tmp_path: Path, changed: dict[str, Any], expected: str
) -> None:
    assert expected in refused(tmp_path, own_recipe("rain.nc", **changed))


def test_no_store_is_made_of_files_that_cannot_be_used(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        own_recipe(str(tmp_path / "none.nc"), store=str(tmp_path / "store"))
    )
    with pytest.raises(SourceError, match="no such file of rain fields"):
        ingest(recipe)
    assert not (tmp_path / "store" / "own_rain_rate.json").exists()


def test_the_report_has_their_grid_and_their_samples(store: Path) -> None:
    contents = open_contents(store, Silent())
    ledger, places = ledger_section(contents), places_section(contents)
    assert ledger is not None
    assert places is not None
    calendar, eras, *_ = ledger.blocks
    assert isinstance(calendar, Calendar)
    assert calendar.title.startswith("OWN on own")
    assert isinstance(eras, Table)
    assert eras.rows[0].cells[0] == "OWN"
    samples, coverage = places.blocks[0], places.blocks[-1]
    assert isinstance(samples, RasterMap)
    assert isinstance(coverage, RasterMap)
    assert samples.values.shape == (2, 3)
    snapshot = open_snapshot(store)
    assert np.nansum(samples.values) == sum(snapshot.rows(split) for split in SPLITS)
    assert samples.extent_km == (WIDTH * snapshot.pixel_km, HEIGHT * snapshot.pixel_km)
    assert contents.attribution == "Data: Radar of the university, CC BY 4.0"
