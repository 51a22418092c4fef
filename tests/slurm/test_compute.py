"""Compute on SLURM jobs: whatever happens to jobs, nodes and the driver, the bytes are the same."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minkgen.opera.synthetic import write_archive
from minkgen.recipe import Recipe
from minkgen.recipe_file import load_recipe
from minkgen.workflows.compute import compute
from minkgen.workflows.ingest import ingest
from tests.slurm.bed import Bed, wait_until
from tests.slurm.conftest import END, START
from tests.workflows.trees import tree

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parents[2]
JOBS = {
    "kind": "slurm",
    "site": "testbed",
    "workers": 2,
    "memory_gb": 1.5,
    "walltime": "00:30:00",
    "task_seconds": 30,
}
Start = Callable[[float], subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def ingested_once(
    tmp_path_factory: pytest.TempPathFactory, recipe_data_in: Callable[[Path], dict[str, Any]]
) -> Recipe:
    """Return a recipe with a store of composites; treat as read-only."""
    folder = tmp_path_factory.mktemp("once")
    write_archive(folder / "archive", start=START, end=END, layout="nimbus", seed=1)
    recipe = Recipe.model_validate(recipe_data_in(folder))
    ingest(recipe)
    return recipe


@pytest.fixture(scope="module")
def serial(ingested_once: Recipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the snapshot that one worker of this machine makes."""
    store = shutil.copytree(ingested_once.store, tmp_path_factory.mktemp("serial") / "store")
    return tree(compute(ingested_once.model_copy(update={"store": store})).snapshot)


@pytest.fixture
def file(ingested_once: Recipe, tmp_path: Path) -> Path:
    """Return the recipe of a copy of the store, to be computed by jobs."""
    store = shutil.copytree(ingested_once.store, tmp_path / "store")
    data = ingested_once.model_dump(mode="json") | {"store": str(store), "cluster": JOBS}
    path = tmp_path / "recipe.yaml"
    path.write_text(Recipe.model_validate(data).model_dump_json(), encoding="utf-8")
    return path


@pytest.fixture
def start(
    inside_bed: Bed, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Start]:
    """Return what starts the driver of slow parts, with marks of what jobs have written."""
    monkeypatch.setenv("MINKGEN_TESTBED", str(inside_bed.base))
    (tmp_path / "marks").mkdir()
    started: list[subprocess.Popen[bytes]] = []

    def begin(pause_seconds: float) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.slurm.slow_compute", str(file)]
        started.append(
            subprocess.Popen(  # noqa: S603 - our own program
                [*command, str(pause_seconds), str(tmp_path / "marks")], cwd=ROOT
            )
        )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def first_mark(tmp_path: Path, driver: subprocess.Popen[bytes]) -> tuple[str, int]:
    """Return the job and the node's number of the first shard that was written."""

    def marks() -> list[Path]:
        assert driver.poll() in (None, 0)
        return sorted(path for path in (tmp_path / "marks").iterdir() if not path.suffix)

    wait_until("a job has written a shard", marks, 120)
    mark = marks()[0]
    node = mark.read_text(encoding="utf-8").split()[0]
    return mark.name, int(node.removeprefix("n"))


def published(file: Path) -> dict[str, bytes]:
    return tree((load_recipe(file).store / "features" / "current").resolve())


def test_a_cancelled_job(
    start: Start, inside_bed: Bed, file: Path, tmp_path: Path, serial: dict[str, bytes]
) -> None:
    driver = start(2.0)
    job, _ = first_mark(tmp_path, driver)
    inside_bed.cancel(job)
    assert driver.wait(timeout=240) == 0
    assert published(file) == serial
    jobs = {path.name for path in (tmp_path / "marks").iterdir()}
    assert len(jobs) > 1
    assert inside_bed.state(job) == "CANCELLED"


def test_a_killed_node(
    start: Start, inside_bed: Bed, file: Path, tmp_path: Path, serial: dict[str, bytes]
) -> None:
    driver = start(2.0)
    _, node = first_mark(tmp_path, driver)
    inside_bed.kill_node(node)
    assert driver.wait(timeout=240) == 0
    assert published(file) == serial


def test_a_job_of_which_two_copies_run(
    start: Start, inside_bed: Bed, file: Path, tmp_path: Path, serial: dict[str, bytes]
) -> None:
    """The node's slurmd is gone, its worker works on, and SLURM starts the job elsewhere."""
    driver = start(15.0)
    job, node = first_mark(tmp_path, driver)
    inside_bed.cut_slurmd(node)
    wait_until("a second copy", lambda: int(inside_bed.describe(job)["Restarts"]) > 0, 120)
    assert driver.wait(timeout=300) == 0
    assert published(file) == serial


def test_a_killed_driver_is_started_again(
    start: Start, file: Path, tmp_path: Path, serial: dict[str, bytes]
) -> None:
    """The jobs of the first are still there, and write what those of the second write."""
    driver = start(2.0)
    first_mark(tmp_path, driver)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert not (load_recipe(file).store / "features" / "current").exists()
    assert start(0.0).wait(timeout=240) == 0
    assert published(file) == serial


@pytest.mark.shared_data
def test_the_real_evening(
    inside_bed: Bed, real_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command itself, on real files: the snapshot of the jobs is that of this machine."""
    monkeypatch.setenv("MINKGEN_TESTBED", str(inside_bed.base))
    settings = [f"source={{path: {real_archive}}}", "cluster={kind: local, workers: 1}"]
    evening = ROOT / "tests" / "recipes" / "real-evening.yaml"
    recipe = load_recipe(evening, [*settings, f"store={tmp_path / 'store'}"])
    ingest(recipe)
    alone = Path(shutil.copytree(tmp_path / "store", tmp_path / "alone"))
    minkgen = Path(sys.executable).with_name("minkgen")
    command = [str(minkgen), "compute", str(evening), "--store", str(tmp_path / "store"), "-q"]
    jobs = ["--cluster", "slurm", "--site", "testbed", "--workers", "2"]
    smaller = ["--set", "cluster.memory_gb=1.5", "--set", "cluster.walltime='00:30:00'"]
    subprocess.run([*command, *jobs, *smaller], check=True, timeout=240)  # noqa: S603
    made = compute(load_recipe(evening, [*settings, f"store={alone}"])).snapshot
    assert tree((tmp_path / "store" / "features" / "current").resolve()) == tree(made)
