"""Accumulations and reflectivity beside rates in one store, and rain tiles made of each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from pydantic import ValidationError

from minkgen.errors import StoreError
from minkgen.grid import GRIDS, Grid
from minkgen.opera.conversion import accumulate_hour, rain_rate_from_reflectivity
from minkgen.opera.keys import ArchiveKey
from minkgen.opera.odim import read_composite
from minkgen.opera.synthetic import write_composite
from minkgen.products import PRODUCTS, Product
from minkgen.recipe import Recipe
from minkgen.store.composites import open_composites
from minkgen.store.frames import read_frames
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import read_ledger
from minkgen.store.snapshot import open_features
from minkgen.workflows.compute import compute
from minkgen.workflows.ingest import ingest
from minkgen.workflows.inspect import inspect_store
from minkgen.workflows.rain import RainSource, rain_frames
from minkgen.workflows.verify.run import verify_store

START = datetime(2024, 7, 8, tzinfo=UTC)
DAY = START.date()
HOURS = 6
REFLECTIVITY = {"product": "DBZH", "grid": "test_1km"}
Field = npt.NDArray[np.float32]
Make = Callable[..., Recipe]


def rain_at(time: datetime, shape: tuple[int, int]) -> Field:
    """Return rates that drift, with a corner without coverage."""
    row, column = np.indices(shape)
    wave = np.sin((row + column / 2 + (time - START) / timedelta(minutes=1)) / 25.0)
    rate = np.where(wave > 0.2, 20 * wave**3, 0).astype(np.float32).round(2)
    rate[:100, :100] = np.nan
    return rate


def reflectivity_at(time: datetime) -> Field:
    """Return dBZ with all three states and values below zero."""
    rate = rain_at(time, GRIDS["test_1km"].shape)
    with np.errstate(divide="ignore"):
        dbz = 10 * np.log10(200 * rate.astype(np.float64) ** 1.6)
    dbz[200:300, :50] = -20.0
    return dbz.astype(np.float32)


def write(
    archive: Path,
    time: datetime,
    product: Product,
    values: Field,
    *,
    grid: str = "test_2km",
    z_r: tuple[float, float] | None = None,
) -> None:
    """Write a file of any product: a rate of NIMBUS whose quantity and values are replaced."""
    on: Grid = GRIDS[grid]
    path = archive / ArchiveKey(time, product.quantity).path
    quality = np.full(on.shape, 0.5, np.float32)
    shaped = np.zeros(on.shape, np.float32)
    write_composite(path, shaped, quality, time=time, grid=on, layout="nimbus")
    raw = values.astype(np.float64)
    raw[np.isnan(values)], raw[np.isneginf(values)] = -9_999_000.0, -8_888_000.0
    with h5py.File(path, "r+") as file:
        file["dataset1/data1/what"].attrs["quantity"] = product.quantity
        file["dataset1/data1/data"][:] = raw
        for name in ("zr_a", "zr_b"):
            del file["dataset1/data1/how"].attrs[name]
        if z_r is not None:
            file["dataset1/data1/how"].attrs.update({"zr_a": z_r[0], "zr_b": z_r[1]})
        if product.quantity == "DBZH":
            file["dataset1/data1/quality1/what"].attrs["nodata"] = -9_999_000.0


def require_verified(recipe: Recipe) -> None:
    report = verify_store(recipe.store, samples=3)
    assert report.failed("MUST") == ()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return six hours of rates, of the hourly sums they make, and a reflectivity every hour."""
    folder = tmp_path_factory.mktemp("products")
    shape = GRIDS["test_2km"].shape
    quarters = [START + timedelta(minutes=15 * quarter) for quarter in range(4 * HOURS)]
    rates = {time: rain_at(time, shape) for time in quarters if time != START.replace(hour=2)}
    for time, rate in rates.items():
        write(folder, time, PRODUCTS["RATE"], rate)
        back = [time - timedelta(minutes=15 * quarter) for quarter in (3, 2, 1, 0)]
        if all(each in rates for each in back):
            hour = accumulate_hour(np.stack([rates[each] for each in back]))
            write(folder, time, PRODUCTS["ACRR"], hour)
        if time.minute == 0:
            dbz, z_r = reflectivity_at(time), (300.0, 1.4) if time.hour == 1 else None
            write(folder, time, PRODUCTS["DBZH"], dbz, grid="test_1km", z_r=z_r)
    return folder


@pytest.fixture
def make(make_recipe: Make, archive: Path) -> Make:
    """Return a function that makes a recipe for a product."""
    hour = timedelta(hours=1)
    splits = {
        "train": {"start": START, "end": START + 2 * hour},
        "validation": {"start": START + 2 * hour, "end": START + 4 * hour},
        "test": {"start": START + 4 * hour, "end": START + 6 * hour},
        "gap_hours": 1,
    }

    def made(**sections: Any) -> Recipe:
        return make_recipe(
            **{
                "source": {"path": str(archive)},
                "period": {"start": START, "end": START + HOURS * hour},
                "splits": splits,
                "thresholds": {"kind": "physical", "values": [0.5, 2.0, 8.0]},
                "persistence": {
                    kind: {"kind": "given", "value_mm_h": 0.5} for kind in ("components", "holes")
                },
                **sections,
            }
        )

    return made


def test_products_lie_side_by_side(make: Make) -> None:
    rates, sums, reflectivity = make(), make(product="ACRR"), make(**REFLECTIVITY)
    assert ingest(rates).states["ok"] == 23
    before = {path: path.read_bytes() for path in rates.store.rglob("c/*/0/0")}
    assert ingest(sums).states["ok"] == 17
    assert ingest(reflectivity).states["ok"] == HOURS - 1
    assert {path: path.read_bytes() for path in before} == before

    root = rates.store / "composites.zarr"
    sets = {product.group: xr.open_zarr(root, group=product.group) for product in PRODUCTS.values()}
    steps = {group: int(np.diff(each["time"][:2])[0] / 6e10) for group, each in sets.items()}
    assert steps == {"rain_rate": 15, "accumulation": 15, "reflectivity_1km": 5}
    for product in PRODUCTS.values():
        array = sets[product.group][product.variable]
        assert array.attrs["units"] == product.units
        assert float(np.diff(sets[product.group]["x"])[0]) == 1000 * product.pixel_km
    at = np.datetime64("2024-07-08T01:00")
    stored = sets["reflectivity_1km"].sel(time=at)
    np.testing.assert_array_equal(stored["reflectivity"], reflectivity_at(START.replace(hour=1)))
    assert (stored["quality"] == 0.5).all()

    assert inspect_store(rates.store).product == "RATE"
    report = inspect_store(rates.store, "DBZH")
    assert report.products == ("RATE", "ACRR", "DBZH")
    assert report.states() == {"ok": 5, "absent": 67, "failed": 0, "corrupt": 0}


def test_the_frame_table_of_reflectivity_tells_rates(make: Make) -> None:
    recipe = make(**REFLECTIVITY)
    ingest(recipe)
    paths = StorePaths(recipe.store, "reflectivity_1km")
    rows = read_frames(paths, DAY)
    first, second = rows[START], rows[START.replace(hour=1)]
    assert (first["zr_a"], first["zr_b"]) == (None, None)
    assert (second["zr_a"], second["zr_b"]) == (300.0, 1.4)
    for row, relation in ((first, (200.0, 1.6)), (second, (300.0, 1.4))):
        rate = rain_rate_from_reflectivity(reflectivity_at(row["time"]), *relation).round(2)
        assert row["max_rate"] == np.nanmax(rate)
        assert row["covered_fraction"] == np.isfinite(rate).mean()
        assert row["wet_fraction"] == (rate > 0).sum() / np.isfinite(rate).sum()
        assert row["product"] == "DBZH"


@pytest.mark.parametrize("z_r", [None, {"a": 250.0, "b": 1.5}])
def test_tiles_of_reflectivity_hold_rates(make: Make, z_r: dict[str, float] | None) -> None:
    recipe = make(**REFLECTIVITY, z_r=z_r)
    ingest(recipe)
    compute(recipe)
    require_verified(recipe)
    train = open_features(recipe.store, "train")
    assert train["rain_rate"].shape[1:] == (128, 128)
    for sample in range(0, train.sizes["sample"], 3):
        tile = train.isel(sample=sample)
        time = datetime.fromisoformat(str(tile["time"].values)[:19]).replace(tzinfo=UTC)
        stated = (300.0, 1.4) if time.hour == 1 else (200.0, 1.6)
        relation = stated if z_r is None else (z_r["a"], z_r["b"])
        row, column = int(tile["row"]), int(tile["column"])
        window = slice(row, row + 128), slice(column, column + 128)
        rate = rain_rate_from_reflectivity(reflectivity_at(time)[window], *relation).round(2)
        np.testing.assert_array_equal(tile["rain_rate"], np.where(rate < 0.1, 0, rate))


def test_hourly_tiles_are_those_of_the_accumulation(make: Make) -> None:
    """An hour that lacks one of its four rates has no tile."""
    snapshots = {}
    for name, sections in (("rates", {"hourly": True}), ("sums", {"product": "ACRR"})):
        recipe = make(**sections, store=str(make().store / name))
        ingest(recipe)
        compute(recipe)
        require_verified(recipe)
        snapshots[name] = open_features(recipe.store, "train")
    hours = {str(time)[11:16] for time in snapshots["rates"]["time"].values}
    assert hours == {"00:45", "01:00", "01:15", "01:30", "01:45"}
    assert snapshots["rates"].sizes == snapshots["sums"].sizes
    for name in ("rain_rate", "gamma", "row", "time"):
        np.testing.assert_array_equal(snapshots["rates"][name], snapshots["sums"][name])


def test_flags_and_digests_of_an_hour_are_those_of_its_frames(make: Make) -> None:
    recipe = make(hourly=True, flags={"spike": {"above_mm_h": 1.0}})
    ingest(recipe)
    source = RainSource.of(recipe)
    hours = rain_frames(source, recipe)
    singles = rain_frames(RainSource(source.paths), recipe)
    assert len(hours) == 17
    assert all("spike" in frame.flags for frame in hours.values())
    assert not {frame.sha256 for frame in hours.values()} & {f.sha256 for f in singles.values()}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"product": "DBZH"}, "grid: DBZH comes on opera_1km, test_1km"),
        ({"grid": "test_1km"}, "grid: RATE comes on opera_2km, test_2km"),
        ({"product": "ACRR", "hourly": True}, "hourly: sums are made of RATE, not of ACRR"),
        ({"z_r": {"a": 200}}, "z_r: RATE needs none"),
        ({"product": "TEMP"}, "'RATE', 'ACRR' or 'DBZH'"),
    ],
)
def test_what_does_not_fit_is_refused(make: Make, sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make(**sections)


@pytest.mark.parametrize("sections", [{"hourly": True}, {"product": "ACRR"}])
def test_splits_share_no_frame_of_an_hour(make: Make, sections: dict[str, Any]) -> None:
    splits = make().splits.model_dump() | {"gap_hours": 0.75}
    with pytest.raises(ValidationError, match="share frames of an hour's rain"):
        make(**sections, splits=splits)


def test_a_store_without_the_product_says_what_it_has(make: Make) -> None:
    ingest(make())
    with pytest.raises(StoreError, match=r"no ACRR composites(.|\n)*got: RATE"):
        compute(make(product="ACRR"))


def test_composites_on_another_grid_are_corrupt(make: Make, tmp_path: Path) -> None:
    """As ODYSSEY's reflectivity, which came on the 2 km grid."""
    shape = GRIDS["test_2km"].shape
    write(tmp_path / "other", START, PRODUCTS["DBZH"], np.zeros(shape, np.float32))
    recipe = make(**REFLECTIVITY, source={"path": str(tmp_path / "other")})
    assert ingest(recipe).states["corrupt"] == 1
    ledger = read_ledger(StorePaths(recipe.store, "reflectivity_1km"), DAY)
    assert "another grid" in str(ledger.slots[START].reason)


@pytest.mark.slow
@pytest.mark.shared_data
def test_real_products_in_one_store(make_recipe: Make, real_archive: Path, tmp_path: Path) -> None:
    """The hour of the stored rates is the stored accumulation, within half a step of 0.01 mm."""
    night = datetime(2024, 11, 26, tzinfo=UTC)
    splits = {
        name: {"start": night + timedelta(hours=hour), "end": night + timedelta(hours=hour + 2)}
        for name, hour in (("train", 0), ("validation", 2), ("test", 4))
    }

    def ingested(**sections: Any) -> RainSource:
        recipe = make_recipe(
            source={"path": str(real_archive)},
            period={"start": night, "end": night + timedelta(hours=6)},
            splits={**splits, "gap_hours": 1},
            **sections,
        )
        assert ingest(recipe).newly_bad == ()
        return RainSource.of(recipe)

    at = night.replace(hour=2)
    rates = ingested(grid="opera_2km", hourly=True)
    sums = ingested(grid="opera_2km", product="ACRR")
    hour, stored = rates.read(rates.open(), at), sums.read(sums.open(), at)
    np.testing.assert_array_equal(np.isnan(hour), np.isnan(stored))
    assert np.nanmax(np.abs(hour - stored)) <= 0.005 + 1e-5
    assert np.count_nonzero(stored > 0) > 100_000

    reflectivity = ingested(grid="opera_1km", product="DBZH")
    at = night.replace(hour=1)
    rate = reflectivity.read(open_composites(reflectivity.paths), at)
    file = real_archive / ArchiveKey(at, "DBZH").path
    expected = rain_rate_from_reflectivity(read_composite(file).values).round(2)
    np.testing.assert_array_equal(rate, expected)
