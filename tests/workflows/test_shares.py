"""Shares of the parts: any of them, at once, killed and again; the bytes of a serial run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minkgen.errors import InputError, StoreError
from minkgen.recipe import Recipe
from minkgen.store.build import create_staging, is_begun, staging_path
from minkgen.store.layout import StorePaths
from minkgen.workflows.compute import Share, compute, compute_share
from minkgen.workflows.plan import plan_from_composites
from minkgen.workflows.progress import Silent
from tests.workflows.trees import tree

PROGRAM = "from minkgen.cli.main import main; main()"
BOUND_SECONDS = 60.0
SCRIPT = Path(__file__).parents[2] / "deploy/slurm/array.sbatch"


def snapshot_of(store: Path) -> Path:
    return (store / "features" / "current").resolve()


def staged(recipe: Recipe) -> Path:
    return next((recipe.store / "features").glob(".building-*.zarr"))


def write(recipe: Recipe) -> Path:
    path = recipe.store.with_name("recipe.yaml")
    path.write_text(recipe.model_dump_json())
    return path


@contextmanager
def started(*command: str | Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start a process, and stop it if it is still there at the end."""
    process = subprocess.Popen(  # noqa: S603 - our own command
        list(map(str, command)),
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def share_command(recipe: Path, share: str) -> tuple[str | Path, ...]:
    return sys.executable, "-c", PROGRAM, "compute", recipe, "--parts", share, "--json", "-q"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOUND_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.005)


def test_shares_one_after_the_other_are_a_serial_run(planned: Recipe, computed_store: Path) -> None:
    """In any order, and with more shares than parts."""
    written = []
    for number in (4, 2, 1, 3):
        done = compute_share(planned, Share(number, 4))
        assert not (planned.store / "features" / "current").exists()
        written.append((done.computed, done.written))
    assert written == [(0, 0), (1, 1), (1, 2), (1, 3)]
    assert compute_share(planned, Share(1, 1)).computed == 0
    published = compute(planned).snapshot
    assert published.name == snapshot_of(computed_store).name
    assert tree(published) == tree(snapshot_of(computed_store))
    assert compute_share(planned, Share(2, 4)).computed == 0


def test_a_run_on_a_cluster_is_a_serial_run(recipe: Recipe, computed_store: Path) -> None:
    assert tree(compute(recipe).snapshot) == tree(snapshot_of(computed_store))


@pytest.mark.parametrize("share", [Share(0, 2), Share(3, 2), Share(-1, 2)])
def test_there_is_no_such_share(planned: Recipe, share: Share) -> None:
    with pytest.raises(InputError, match="no such share"):
        compute_share(planned, share)


def test_a_share_needs_the_tables_of_a_dry_run(recipe: Recipe, planned_store: Path) -> None:
    with pytest.raises(StoreError, match="the tile table of this recipe is not") as caught:
        compute_share(recipe, Share(1, 2))
    assert "--dry-run" in str(caught.value)
    for name in ("tiles", "climate"):
        (recipe.store / name).mkdir()
    (table,) = (planned_store / "tiles").iterdir()
    (recipe.store / "tiles" / table.name).write_bytes(table.read_bytes())
    with pytest.raises(StoreError, match="the climate of this recipe is not"):
        compute_share(recipe, Share(1, 2))
    assert not (recipe.store / "features").exists()


def test_shares_at_once_do_not_disturb_each_other(planned: Recipe, computed_store: Path) -> None:
    path = write(planned)
    with (
        started(*share_command(path, "1/2")) as first,
        started(*share_command(path, "2/2")) as second,
    ):
        results = []
        for process in (first, second):
            stdout, stderr = process.communicate(timeout=BOUND_SECONDS)
            assert process.returncode == 0, stderr
            results.append(json.loads(stdout))
    assert sorted(result["computed"] for result in results) == [1, 2]
    assert max(result["written"] for result in results) == 3
    assert tree(compute(planned).snapshot) == tree(snapshot_of(computed_store))
    assert not list((planned.store / "features").glob(".*"))


RACE = """
import sys, time
from pathlib import Path
from minkgen.recipe_file import load_recipe
from minkgen.store.build import create_staging
from minkgen.workflows.plan import plan_from_composites
from minkgen.workflows.progress import Silent
from dataclasses import replace

recipe, folder, rounds = load_recipe(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
build = plan_from_composites(recipe, None, Silent())
(folder / f"ready-{sys.argv[4]}").touch()
while not (folder / "go").exists():
    pass
for number in range(rounds):
    plan = replace(build.plan, name=f"race-{number}")
    create_staging(build.paths, plan, shared=True)
"""


@pytest.mark.slow
def test_one_staging_folder_comes_of_many_at_once(planned: Recipe, tmp_path: Path) -> None:
    path, racers, rounds = write(planned), 3, 6
    arguments = (sys.executable, "-c", RACE, path, tmp_path, str(rounds))
    with (
        started(*arguments, "0") as first,
        started(*arguments, "1") as second,
        started(*arguments, "2") as third,
    ):
        wait_until(lambda: len(list(tmp_path.glob("ready-*"))) == racers)
        (tmp_path / "go").touch()
        for process in (first, second, third):
            _, stderr = process.communicate(timeout=BOUND_SECONDS)
            assert process.returncode == 0, stderr
    names = sorted(folder.name for folder in (planned.store / "features").glob(".*.zarr"))
    assert names == [f".building-race-{number}.zarr" for number in range(rounds)]
    build = plan_from_composites(planned, None, Silent())
    expected = tree(create_staging(build.paths, build.plan))
    for name in names:
        assert tree(planned.store / "features" / name) == expected


def test_a_killed_share_is_done_again(planned: Recipe, computed_store: Path) -> None:
    path = write(planned)
    with started(*share_command(path, "1/1")) as process:
        wait_until(lambda: any((planned.store / "features").glob(".b*.zarr/train/gamma/c/0")))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert compute_share(planned, Share(1, 1)).computed >= 1
    assert tree(compute(planned).snapshot) == tree(snapshot_of(computed_store))


def test_a_share_leaves_alone_what_other_code_has_begun(planned: Recipe) -> None:
    compute_share(planned, Share(1, 2))
    root = staged(planned) / "zarr.json"
    root.write_text(root.read_text().replace('"numba":"', '"numba":"0.'))
    root.write_text(root.read_text().replace('"numba": "', '"numba": "0.'))
    before = tree(planned.store)
    with pytest.raises(StoreError, match="other code has begun") as caught:
        compute_share(planned, Share(2, 2))
    assert str(staged(planned)) in str(caught.value)
    assert tree(planned.store) == before
    build = plan_from_composites(planned, None, Silent())
    assert build.missing_parts() == build.plan.parts()
    create_staging(build.paths, build.plan)  # a whole run begins anew
    assert is_begun(staging_path(StorePaths(planned.store), build.plan.name), build.plan)
    assert build.missing_parts() == build.plan.parts()
