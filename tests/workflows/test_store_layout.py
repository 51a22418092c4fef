"""docs/reference/store.md names what is in a store, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import zarr

from minkgen.grid import OWN_GRID, TEST_2KM
from minkgen.products import GROUPS, OWN, PRODUCTS
from minkgen.recipe import Dem, Recipe
from minkgen.store.build import staging_path
from minkgen.store.composites import create_composites
from minkgen.store.layout import LAYOUT_VERSION, SAMPLES_PER_SHARD, StorePaths
from minkgen.store.ledger import STATES, DayLedger, Slot
from minkgen.store.lock import STALE_SECONDS, Holder, hold_lock
from minkgen.store.manifest import FileRecord, marks_folder
from minkgen.store.shelf import Lease, hold_snapshot
from minkgen.store.snapshot import open_snapshot
from minkgen.store.static import create_static
from minkgen.workflows.compute import Share, compute_share
from minkgen.workflows.evaluate import (
    evaluate_emulator,
    evaluate_inversion,
    evaluate_mechanism,
    evaluate_superres,
)
from minkgen.workflows.evaluate import fidelity as fidelity_module
from minkgen.workflows.evaluate import inversion as inversion_module
from minkgen.workflows.superres import train_superres
from minkgen.workflows.train import train_emulator
from minkgen.workflows.tune import tune_emulator
from tests.opera.dem_files import write_netcdf

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "store.md"
SPLITS = ("train", "validation", "test")
# Dimensions whose vectors are columns in a snapshot; y and x are, too, but not in composites.
COLUMNS = {"sample", "functional", "threshold"}
EMULATOR = {"widths": [8], "latent": 8, "epochs": 1, "batch_size": 16, "max_tiles": 16}
SUPERRES = {
    "model": "ddpm",
    "features": [8, 16],
    "batch_size": 16,
    "epochs": 1,
    "max_tiles": 16,
    "members": 2,
    "diffusion": {"steps": 10, "sampling_steps": 2},
}
# What stands for what in the paths of the page.
PLACEHOLDERS = {
    "GROUP": r"[a-z_0-9]+",
    "YYYY-MM-DD": r"\d{4}-\d\d-\d\d",
    "DIGEST": r"[0-9a-f]{16}",
    "NAME-HASH": r"[a-z-]+-[0-9a-f]{12}",
    "XXXXXXXX": r"[0-9a-f]{8}",
    "KIND": r"[a-z-]+",
    "NAME": r"[\w-]+",
    "ID": r"[0-9a-f]+",
    "KEY": r".+",
    "000000001": r"\d{9}",
}


def section(title: str) -> str:
    """Return what stands under a heading of the page."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.M | re.S)
    assert found, f"the page has no section {title}"
    return found[1]


def tables(title: str) -> list[list[dict[str, str]]]:
    """Return the tables of a section, each as its rows by heading."""
    result = []
    for table in re.findall(r"(?:^\|.*\n)+", section(title), re.M):
        head, _, *rows = (
            [cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()
        )
        result.append([dict(zip(head, row, strict=True)) for row in rows])
    return result


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def named(rows: Iterable[dict[str, str]]) -> list[str]:
    """Return the names in the first column."""
    return [name for row in rows for name in quoted(next(iter(row.values())))]


def pattern(path: str) -> re.Pattern[str]:
    """Return what a path of the page stands for; a folder, with all that is in it."""
    parts = re.split("|".join(f"({key})" for key in PLACEHOLDERS), path.rstrip("/"))
    text = "".join(PLACEHOLDERS.get(part, re.escape(part)) for part in parts if part)
    return re.compile(text + ("(/.*)?" if path.endswith("/") else ""))


def described(array: zarr.Array[Any], symbols: dict[int, str]) -> dict[str, str]:
    """Return an array as the page describes it."""

    def sizes(shape: tuple[int, ...] | None) -> str:
        if shape is None:
            return "none"
        return ", ".join(symbols.get(size, f"{size}") for size in shape)

    unit = str(array.attrs.get("units", ""))
    if array.name.endswith("gamma"):
        unit = "km2, km, 1"
    chunk = sizes(array.chunks)
    if set(array.metadata.dimension_names or ()) <= COLUMNS and array.ndim == 1:
        assert array.chunks == (min(SAMPLES_PER_SHARD, array.shape[0]),), array.name
        chunk = "column"
    return {
        "dimensions": ", ".join(name or "?" for name in array.metadata.dimension_names or ()),
        "type": "string" if "String" in str(array.dtype) else str(array.dtype),
        "unit": unit,
        "chunk": chunk,
        "shard": sizes(array.shards),
    }


def compare(group: zarr.Group, rows: list[dict[str, str]], symbols: dict[int, str]) -> None:
    """Hold the arrays of a group against a table of the page."""
    arrays = dict(group.arrays())
    assert sorted(arrays) == sorted(named(rows))
    for row in rows:
        name = quoted(row["array"])[0]
        expected = {key: row[key] for key in ("dimensions", "type", "unit", "chunk", "shard")}
        assert described(arrays[name], symbols) == expected, name


@pytest.fixture(scope="module")
def store(computed_store: Path, tmp_path_factory: pytest.TempPathFactory) -> StorePaths:
    """Return a store with all that can be in one without a training."""
    root = tmp_path_factory.mktemp("layout") / "store"
    shutil.copytree(computed_store, root, symlinks=True)
    return StorePaths(root)


def test_every_file_is_named(store: StorePaths) -> None:
    hold_snapshot(store, "current", days=1.0)
    patterns = {
        path: pattern(path)
        for path in named(tables("Files and folders")[0])
        if "/" in path or "." in path
    }
    files = [
        path.relative_to(store.root).as_posix()
        for path in store.root.rglob("*")
        if path.is_file() or path.is_symlink()
    ]
    unnamed = [
        file for file in files if not any(each.fullmatch(file) for each in patterns.values())
    ]
    assert not unnamed
    # What only some recipes, failures and verbs leave.
    optional = {"static.zarr/", "raw/KEY", "corrupt/KEY", "rebuilds.jsonl", "runs/KIND-XXXXXXXX/"}
    optional |= {"incoming/GROUP/YYYY-MM-DD/"}
    absent = {
        path for path, each in patterns.items() if not any(each.fullmatch(file) for file in files)
    }
    assert absent == optional
    (lease,) = store.leases.iterdir()
    row = next(row for row in tables("Files and folders")[0] if "leases" in row["path"])
    assert sorted(quoted(row["what"])) == sorted(json.loads(lease.read_text()))
    assert {field.name for field in fields(Lease)} == set(quoted(row["what"]))


def test_products_are_those_of_the_code() -> None:
    assert tables("Files and folders")[1] == [
        {
            "GROUP": f"`{product.group}`",
            "product": name,
            "variable": f"`{product.variable}`",
            "unit": product.units,
            "measured, no echo": f"{product.undetect:g}",
            "a slot every": f"{product.minutes} min",
            "frames a shard": f"{product.frames_per_shard}",
        }
        for name, product in PRODUCTS.items()
    ]


def test_own_fields_are_described(tmp_path: Path) -> None:
    paths = StorePaths(tmp_path / "store", GROUPS[OWN])
    create_composites(paths, replace(TEST_2KM, name=OWN_GRID), (2024, 2024), minutes=10)
    identity = json.loads(paths.identity.read_text())
    opera = set(named(tables("Composites")[0]))
    text = section("Composites")
    assert {f"`{key}`" for key in set(identity) - opera} <= set(re.findall("`[^`]+`", text))
    assert set(identity) - opera == {"own_grid", "minutes", "frames_per_shard"}
    assert f"the product {OWN} in the group `{paths.group}`" in text


def test_composites(store: StorePaths) -> None:
    identity, arrays = tables("Composites")
    assert sorted(named(identity)) == sorted(json.loads(store.identity.read_text()))
    assert f"Layout version {LAYOUT_VERSION}." in PAGE.read_text("utf-8")
    root = zarr.open_group(store.composites, mode="r")
    assert root.attrs["layout_version"] == LAYOUT_VERSION
    (group,) = (group for _, group in root.groups())
    symbols = {TEST_2KM.height: "H", TEST_2KM.width: "W", 366 * 96: "366 days"}
    unit = group["time"].attrs["units"]
    assert re.fullmatch(r"minutes since \d{4}-01-01 00:00:00", str(unit))
    for row in arrays:
        row["unit"] = row["unit"].replace("minutes since 1 January of the first year", str(unit))
    compare(group, arrays, symbols)


def test_ledger_and_tables(store: StorePaths) -> None:
    slots = json.loads(next(store.root.glob("ledger/*/*.json")).read_text())
    text = section("Ledger")
    assert sorted(slots) == sorted(field.name for field in fields(DayLedger)) == ["day", "slots"]
    assert all(f"`{name}`" in text for name in slots)
    (rows,) = tables("Ledger")
    assert named(rows) == [field.name for field in fields(Slot)]
    assert tuple(quoted(rows[0]["what"])) == STATES
    for title, file in (("Frame table", "frames/*/*.parquet"), ("Tile table", "tiles/*.parquet")):
        schema = pq.read_schema(next(store.root.glob(file)))
        (columns,) = tables(title)
        assert [(quoted(row["column"])[0], row["type"]) for row in columns] == [
            (field.name, str(field.type)) for field in schema
        ]


def test_climate(store: StorePaths) -> None:
    content = json.loads(next(store.root.glob("climate/*.json")).read_text())
    (rows,) = tables("Climate")
    assert sorted(named(rows)) == sorted(content)
    inner = {quoted(row["key"])[0]: set(quoted(row["what"])) for row in rows}
    assert inner["thresholds"] == set(content["thresholds"])
    assert inner["normalisation"] == set(content["normalisation"])
    assert inner["decided_by"] == set(content["decided_by"])
    for key in ("floors", "histograms"):
        assert inner[key] == set(content[key]) | set(next(iter(content[key].values())))


def test_snapshots(store: StorePaths) -> None:
    snapshot = open_snapshot(store.root)
    root = zarr.open_group(snapshot.path, mode="r")
    arrays, metadata = tables("Snapshots")
    assert sorted(name for name, _ in root.groups()) == sorted(SPLITS)
    for split in SPLITS:
        group = root[split]
        assert isinstance(group, zarr.Group)
        rows = [row for row in arrays if split == "train" or "`train` only" not in row["what"]]
        compare(group, rows, {128: "N", 8: "F", 21: "Q"})
    assert named(metadata) == list(root.attrs["minkgen"])  # type: ignore[arg-type]
    assert set(root.attrs) <= set(quoted(section("Snapshots")))
    files = json.loads((snapshot.path / "parts.json").read_text())["files"]
    assert (
        {key for record in files.values() for key in record}
        == {field.name for field in fields(FileRecord)}
        <= set(quoted(section("Snapshots")))
    )
    history = json.loads(store.history.read_text())
    assert set(history[-1]) | {"publish", "rollback"} <= set(quoted(section("Snapshots")))


def test_terrain(tmp_path: Path) -> None:
    pytest.importorskip("rasterio", reason="needs the extra geo")
    longitude, latitude = np.arange(-5.0, 30.0, 0.5), np.arange(62.0, 42.0, -0.5)
    dem = tmp_path / "dem.nc"
    write_netcdf(dem, np.zeros((len(latitude), len(longitude)), np.float32), longitude, latitude)
    paths = StorePaths(tmp_path / "store")
    create_static(paths, TEST_2KM, Dem(path=dem))
    root = zarr.open_group(paths.static, mode="r")
    (rows,) = tables("Terrain")
    compare(root, rows, {TEST_2KM.height: "H", TEST_2KM.width: "W"})
    prose = section("Terrain").split("\n| array", 1)[0]
    assert set(quoted(prose)) - {"static.zarr"} == set(root.attrs)


def test_what_is_being_written(planned: Recipe) -> None:
    compute_share(planned, Share(1, 1))  # which publishes nothing
    paths = StorePaths(planned.store)
    (rows,) = tables("While something is written")
    names = {path: pattern(path) for path in named(rows) if path.startswith(("features/", "."))}
    (building,) = paths.features.glob(staging_path(paths, "*").name)
    found = [building, marks_folder(building)]
    for path in found:
        relative = path.relative_to(paths.root).as_posix()
        assert any(each.fullmatch(relative) for each in names.values()), relative
    marks = json.loads(next(marks_folder(building).glob("[!s]*.json")).read_text())
    assert (marks_folder(building) / "shards.json").exists()
    (row,) = (row for row in rows if ".parts" in row["path"])
    assert set(quoted(row["what"])) == {"shards.json", *marks}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the store has no terrain:UserWarning")
def test_runs(
    computed_store: Path, make_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(fidelity_module, "FIDELITY_TILES", 2)
    monkeypatch.setattr(inversion_module, "INVERTED_TILES", 2)
    recipe = make_recipe(emulator=EMULATOR, superres=SUPERRES)
    shutil.copytree(computed_store, recipe.store, symlinks=True)
    tune_emulator(recipe, 1)
    train_emulator(recipe)
    for evaluate in (evaluate_emulator, evaluate_inversion, evaluate_mechanism):
        evaluate(recipe, surrogates=("exact", "pcr", recipe.emulator.architecture))
    train_superres(recipe)
    evaluate_superres(recipe)
    (rows,) = tables("Runs")
    expected = {quoted(row["folder"])[0]: set(quoted(row["files"])) for row in rows}
    found: dict[str, set[str]] = {}
    for path in StorePaths(recipe.store).runs.iterdir():
        kind = f"{path.name.rpartition('-')[0]}-XXXXXXXX"
        found.setdefault(kind, set()).update(each.name for each in path.iterdir())
    assert found == expected


def test_locks(tmp_path: Path) -> None:
    text = section("While something is written")
    with hold_lock(tmp_path / "build") as lock:
        ticket = json.loads(lock.ticket.read_text())
        assert pattern("locks/NAME/000000001.json").fullmatch(f"locks/build/{lock.ticket.name}")
    assert sorted(ticket) == sorted(field.name for field in fields(Holder))
    assert all(f"`{key}`" in text for key in ticket)
    assert f"{STALE_SECONDS:g} s" in text
