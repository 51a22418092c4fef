"""Ingest from a folder: what is there gets in, what is not has a state and a reason."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

from minkgen.errors import SourceError, StoreError, StoreLockedError, TaskError
from minkgen.grid import OPERA_2KM, TEST_2KM
from minkgen.opera.fetching.folder import FolderSource
from minkgen.opera.keys import ArchiveKey
from minkgen.opera.odim import open_composite
from minkgen.recipe import Recipe, fetching
from minkgen.recipe_file import load_recipe
from minkgen.store.composites import create_composites
from minkgen.store.files import sha256_of
from minkgen.store.frames import read_frames
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import read_ledger
from minkgen.store.lock import hold_lock
from minkgen.workflows import ingest as ingest_module
from minkgen.workflows import ingest_day as ingest_day_module
from minkgen.workflows.ingest import ingest
from minkgen.workflows.ingest_day import DayTask, ingest_day

START = datetime(2024, 7, 1, tzinfo=UTC)
DAY = START.date()
Make = Callable[..., Recipe]


def at(hour: int, minute: int = 0) -> datetime:
    return START.replace(hour=hour, minute=minute)


def file_of(archive: Path, time: datetime, name: str = "RATE") -> Path:
    return archive / ArchiveKey(time, name).path


def tree(root: Path) -> dict[str, bytes]:
    """Return all data of a store; the ledger without the times and attempts it records."""
    content = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and "locks" not in path.parts:
            data = path.read_bytes()
            if path.parents[1].name == "ledger":
                slots = json.loads(data)["slots"]
                kept = {
                    time: {k: v for k, v in slot.items() if k not in ("attempts", "checked", "url")}
                    for time, slot in slots.items()
                }
                data = json.dumps(kept).encode()
            content[str(path.relative_to(root))] = data
    return content


def test_every_composite_gets_in_as_it_is(make_recipe: Make, archive: Path) -> None:
    recipe = make_recipe()
    result = ingest(recipe)
    assert result.states == {"ok": 24, "absent": 0, "failed": 0, "corrupt": 0}
    assert (result.newly_ok, result.newly_bad) == (24, ())
    stored = xr.open_zarr(recipe.store / "composites.zarr", group="rain_rate")
    ledger = read_ledger(StorePaths(recipe.store), DAY)
    frames = read_frames(StorePaths(recipe.store), DAY)
    for quarter in (0, 7, 23):
        time = START + timedelta(minutes=15 * quarter)
        truth = open_composite(file_of(archive, time))
        for variable in ("rain_rate", "quality"):
            values = stored[variable].sel(time=time.replace(tzinfo=None)).values
            assert np.array_equal(values, truth[variable].values, equal_nan=True)
        assert ledger.slots[time].sha256 == sha256_of(file_of(archive, time))
        assert frames[time]["era"] == "NIMBUS"
        assert frames[time]["max_rate"] == np.nanmax(truth["rain_rate"].values)


def test_a_second_run_does_nothing(make_recipe: Make, archive: Path) -> None:
    recipe = make_recipe()
    ingest(recipe)

    def times() -> dict[Path, int]:
        paths = [path for path in recipe.store.rglob("*") if "locks" not in path.parts]
        return {path: path.stat().st_mtime_ns for path in paths}

    before = times()
    result = ingest(recipe)
    assert (result.states["ok"], result.newly_ok, result.newly_bad) == (24, 0, ())
    assert times() == before
    assert archive.exists()


def damage(archive: Path) -> None:
    """Leave one slot absent and four corrupt, each in its own way."""
    file_of(archive, at(0, 30)).unlink()
    truncated = file_of(archive, at(1))
    truncated.write_bytes(truncated.read_bytes()[:5000])
    with h5py.File(file_of(archive, at(2)), "r+") as file:
        file["dataset1/data1/what"].attrs.modify("quantity", b"ACRR")
    file_of(archive, at(3)).write_bytes(file_of(archive, at(3, 15)).read_bytes())
    with h5py.File(file_of(archive, at(4)), "r+") as file:
        file["where"].attrs.modify("xscale", 2500.0)


def test_each_fault_has_its_state_and_reason_and_the_run_goes_on(
    make_recipe: Make, archive: Path
) -> None:
    damage(archive)
    recipe = make_recipe()
    result = ingest(recipe)
    assert result.states == {"ok": 19, "absent": 1, "failed": 0, "corrupt": 4}
    assert len(result.newly_bad) == 4
    slots = read_ledger(StorePaths(recipe.store), DAY).slots
    assert slots[at(0, 30)].state == "absent"
    reasons = {at(1): "damaged", at(2): "another quantity", at(3): "time", at(4): "unknown grid"}
    for time, reason in reasons.items():
        assert slots[time].state == "corrupt"
        assert reason in (slots[time].reason or "")
        assert slots[time].sha256 == sha256_of(file_of(archive, time))
    stored = xr.open_zarr(recipe.store / "composites.zarr", group="rain_rate")["rain_rate"]
    for time in (at(0, 30), *reasons):
        assert np.isnan(stored.sel(time=time.replace(tzinfo=None)).values).all()
    assert len(read_frames(StorePaths(recipe.store), DAY)) == 19


def test_mended_files_get_in_and_the_store_is_that_of_an_undisturbed_run(
    make_recipe: Make, archive: Path, synthetic_archive: Path, tmp_path: Path
) -> None:
    damage(archive)
    disturbed = make_recipe()
    ingest(disturbed)
    again = ingest(disturbed)
    assert again.newly_bad == ()  # nothing new is wrong
    assert read_ledger(StorePaths(disturbed.store), DAY).slots[at(1)].attempts == 2
    mended = ingest(make_recipe(source={"path": str(synthetic_archive)}))
    assert mended.newly_ok == 5
    undisturbed = make_recipe(
        source={"path": str(synthetic_archive)}, store=str(tmp_path / "undisturbed")
    )
    ingest(undisturbed)
    assert tree(disturbed.store) == tree(undisturbed.store)


def test_data_of_an_ok_slot_are_never_replaced(make_recipe: Make, archive: Path) -> None:
    recipe = make_recipe()
    file_of(archive, at(5)).rename(archive / "later.h5")
    ingest(recipe)
    stored = StorePaths(recipe.store)
    before = read_ledger(stored, DAY).slots[at(5, 15)]
    values = xr.open_zarr(stored.composites, group="rain_rate")["rain_rate"]
    quarter_past = values.sel(time="2024-07-01T05:15").values
    with h5py.File(file_of(archive, at(5, 15)), "r+") as file:
        file["dataset1/data1/data"][...] = 99.0
    (archive / "later.h5").rename(file_of(archive, at(5)))
    assert ingest(recipe).newly_ok == 1
    values = xr.open_zarr(stored.composites, group="rain_rate")["rain_rate"]
    assert np.isfinite(quarter_past).any()
    assert np.array_equal(values.sel(time="2024-07-01T05:15").values, quarter_past, equal_nan=True)
    assert np.isfinite(values.sel(time="2024-07-01T05:00").values).any()
    assert read_ledger(stored, DAY).slots[at(5, 15)] == before


def test_a_day_killed_before_its_ledger_is_done_again(
    make_recipe: Make, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe()
    ingest(recipe.model_copy(update={"store": tmp_path / "undisturbed"}))
    ingest(recipe.model_copy(update={"period": recipe.period.model_copy(update={"end": at(1)})}))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    times = tuple(START + timedelta(minutes=15 * quarter) for quarter in range(24))
    task = DayTask(StorePaths(recipe.store), FolderSource(archive), DAY, times)
    with monkeypatch.context() as context:
        context.setattr(ingest_day_module, "write_ledger", killed)
        with pytest.raises(KeyboardInterrupt):
            ingest_day(task)
    assert read_ledger(StorePaths(recipe.store), DAY).count("ok") == 4
    ingest_day(task)
    assert tree(recipe.store) == tree(tmp_path / "undisturbed")


# Ingests the day, and is killed where its n-th file would get its name.
KILLED = """
import os, signal, sys
from datetime import datetime, timedelta
from pathlib import Path
from minkgen.opera.fetching.folder import FolderSource
from minkgen.store.layout import StorePaths
from minkgen.workflows.ingest_day import DayTask, ingest_day

store, archive, start, left = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def count(event, details):
    global left
    if event == "os.rename" and str(details[0]).endswith(".partial"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

start = datetime.fromisoformat(start)
times = tuple(start + timedelta(minutes=15 * quarter) for quarter in range(24))
sys.addaudithook(count)
ingest_day(DayTask(StorePaths(store), FolderSource(archive), start.date(), times))
"""


@pytest.mark.parametrize("renames", range(4), ids=["rain rate", "quality", "frames", "ledger"])
def test_a_day_killed_while_it_writes_a_file_leaves_nothing_behind(
    archive: Path, tmp_path: Path, renames: int
) -> None:
    undisturbed, paths = StorePaths(tmp_path / "undisturbed"), StorePaths(tmp_path / "store")
    times = tuple(START + timedelta(minutes=15 * quarter) for quarter in range(24))
    for store in (undisturbed, paths):
        create_composites(store, TEST_2KM, (START.year, START.year))
    ingest_day(DayTask(undisturbed, FolderSource(archive), DAY, times))
    process = subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-c", KILLED, paths.root, archive, START.isoformat(), str(renames)],
        timeout=120,
    )
    assert process.returncode == -signal.SIGKILL
    assert len(list(paths.root.rglob("*.partial"))) == 1
    assert read_ledger(paths, DAY).count("ok") == 0
    ingest_day(DayTask(paths, FolderSource(archive), DAY, times))
    assert tree(paths.root) == tree(undisturbed.root)


def test_only_the_period_is_looked_for(make_recipe: Make, archive: Path) -> None:
    recipe = make_recipe(
        period={"start": at(1), "end": at(3)},
        splits={
            "train": {"start": at(1), "end": at(2)},
            "validation": {"start": at(2), "end": at(2, 30)},
            "test": {"start": at(2, 30), "end": at(3)},
            "gap_hours": 0,
        },
    )
    assert archive.exists()
    assert ingest(recipe).states["ok"] == 8
    assert min(read_ledger(StorePaths(recipe.store), DAY).slots) == at(1)


def test_a_day_without_files_is_absent(make_recipe: Make, archive: Path) -> None:
    recipe = make_recipe(period={"start": START, "end": "2024-07-02T06:00"})
    assert archive.exists()
    assert ingest(recipe).states == {"ok": 24, "absent": 96, "failed": 0, "corrupt": 0}
    assert read_ledger(StorePaths(recipe.store), date(2024, 7, 2)).count("absent") == 24


def test_a_missing_source_writes_nothing(make_recipe: Make) -> None:
    recipe = make_recipe()
    with pytest.raises(SourceError, match="source folder is not there"):
        ingest(recipe)
    assert not recipe.store.exists()


def test_a_store_of_another_grid_is_refused(make_recipe: Make, archive: Path) -> None:
    recipe = make_recipe()
    ingest(recipe)
    assert archive.exists()
    assert recipe.grid == TEST_2KM.name
    with pytest.raises(StoreError, match="made by another recipe"):
        ingest(make_recipe(grid=OPERA_2KM.name))


def test_composites_on_another_grid_than_the_stores_are_corrupt(
    make_recipe: Make, archive: Path
) -> None:
    recipe = make_recipe(grid=OPERA_2KM.name)
    assert archive.exists()
    result = ingest(recipe)
    assert result.states["corrupt"] == 24
    assert "another grid than the store" in result.newly_bad[0]


def test_a_failing_task_says_which_and_why(make_recipe: Make, archive: Path) -> None:
    file_of(archive, at(5)).unlink()
    recipe = make_recipe()
    ingest(recipe)
    StorePaths(recipe.store).frames(DAY).write_bytes(b"no parquet")
    with pytest.raises(TaskError, match=r"2024-07-01(.|\n)*[Pp]arquet"):
        ingest(recipe)


def test_a_damaged_ledger_is_refused_before_anything_begins(
    make_recipe: Make, archive: Path
) -> None:
    recipe = make_recipe()
    ingest(recipe)
    assert archive.exists()
    StorePaths(recipe.store).ledger(DAY).write_text("{")
    with pytest.raises(StoreError, match="JSON"):
        ingest(recipe)


@pytest.mark.shared_data
def test_real_composites_get_in(real_archive: Path, tmp_path: Path) -> None:
    path = Path(__file__).parent.parent / "recipes" / "real-evening.yaml"
    settings = [f"store={tmp_path / 'store'}", f"source.path={real_archive}"]
    recipe = load_recipe(path, [*settings, "period.end=2018-08-24T22:15", "cluster.workers=1"])
    assert ingest(recipe).states == {"ok": 16, "absent": 1, "failed": 0, "corrupt": 0}
    row = read_frames(StorePaths(recipe.store), date(2018, 8, 24))[
        datetime(2018, 8, 24, 18, tzinfo=UTC)
    ]
    assert row["era"] == "ODYSSEY"
    assert row["max_rate"] == np.float32(1205.22)
    assert row["covered_fraction"] == pytest.approx(1 - 0.49900885, abs=1e-6)


def test_a_second_ingest_of_the_same_product_is_refused(make_recipe: Make, archive: Path) -> None:
    recipe = make_recipe()
    ingest(recipe)
    paths = StorePaths(recipe.store)
    with hold_lock(paths.lock("ingest-rain_rate")):
        with pytest.raises(StoreLockedError, match=r"ingest-rain_rate"):
            ingest(recipe)
        with hold_lock(paths.lock("ingest-accumulation")):
            pass  # another product is none of its business
    assert ingest(recipe).newly_ok == 0


def test_a_folder_is_expected_to_hold_what_it_has_days_for(recipe: Recipe, tmp_path: Path) -> None:
    """A period of years is no reason to ask for terabytes."""
    days = [date(2024, 7, number) for number in (1, 2, 3)]
    missing = {day: (datetime(2024, 7, 1, tzinfo=UTC),) * 96 for day in days}
    (tmp_path / "2024/07/02").mkdir(parents=True)
    of_folder = recipe.model_copy(update={"source": fetching.FolderSource(path=tmp_path)})
    assert ingest_module._frames(of_folder, missing) == 96
    of_archive = recipe.model_copy(update={"source": fetching.ArchiveSource(kind="archive")})
    assert ingest_module._frames(of_archive, missing) == 288
