"""The plan: what it says is what compute makes, it writes nothing else, and it can refuse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minkgen.errors import EmptySplitError, PlanRefused, TaskError
from minkgen.recipe import Cluster, LocalProcesses, Recipe
from minkgen.store.layout import StorePaths
from minkgen.store.snapshot import open_snapshot
from minkgen.workflows import compute as compute_module
from minkgen.workflows import cost as cost_module
from minkgen.workflows.compute import Share, compute, compute_share, plan_compute
from minkgen.workflows.cost import Cost, refuse_crowded_workers, refuse_what_does_not_fit
from minkgen.workflows.ingest import ingest
from tests.workflows.trees import tree

Make = Callable[..., Recipe]
COST = Cost(
    tasks=2,
    write_bytes=10**9,
    free_bytes=10**10,
    task_bytes=5 * 10**8,
    worker_bytes=10**9,
    workers=3,
    stages={"gamma": 1.0},
    seconds=1.0,
)


def test_what_is_planned_is_what_is_made(planned: Recipe) -> None:
    before = tree(planned.store)
    plan = plan_compute(planned)
    assert tree(planned.store) == before
    assert not plan.is_published
    assert plan.parts == plan.cost.tasks == 3
    compute_share(planned, Share(1, 3))
    rest = plan_compute(planned).cost
    assert rest.tasks == 2
    assert 0 < rest.write_bytes < plan.cost.write_bytes
    assert 0 < sum(rest.stages.values()) < sum(plan.cost.stages.values())
    compute_share(planned, Share(1, 1))
    made = compute(planned)
    for name in ("snapshot", "rows", "dry", "thresholds", "floors"):
        assert getattr(plan, name) == getattr(made, name), name
    taken = sum(len(data) for name, data in tree(made.snapshot).items() if "/c/" in name)
    assert 0.7 < plan.cost.write_bytes / taken < 1.4
    after = plan_compute(planned)
    assert after.is_published
    assert (after.cost.tasks, after.cost.write_bytes, after.cost.seconds) == (0, 0, 0.0)


def test_a_dry_run_makes_the_tables_and_nothing_else(recipe: Recipe) -> None:
    before = tree(recipe.store)
    plan_compute(recipe)
    made = set(tree(recipe.store)) - set(before)
    assert {Path(name).parts[0] for name in made} == {"tiles", "climate"}
    assert len(made) == 2


def test_time_is_that_of_the_last_worker() -> None:
    """Of 5, 4, 3, 3 and 3 seconds, two workers take 5 + 3 and 4 + 3 + 3."""
    assert cost_module._makespan([3, 3, 5, 3, 4], 2) == 10
    assert cost_module._makespan([3, 3, 5, 3, 4], 5) == 5
    assert cost_module._makespan([], 2) == 0


@pytest.mark.parametrize(
    ("change", "message", "got", "expected"),
    [
        ({"free_bytes": 10**9 - 1}, "not fit on the disk", "1 GB free", "about 1 GB for 2 parts"),
        (
            {"task_bytes": 1_500_000_000},
            "not fit in the memory",
            "1 GB for each of 3 workers",
            "about 1.5 GB",
        ),
    ],
    ids=["disk", "memory"],
)
def test_what_does_not_fit_is_refused(
    change: dict[str, Any], message: str, got: str, expected: str
) -> None:
    paths = StorePaths(Path("store"))
    refuse_what_does_not_fit(COST, paths)
    with pytest.raises(PlanRefused, match=message) as caught:
        refuse_what_does_not_fit(Cost(**{**vars(COST), **change}), paths)
    assert (caught.value.got, caught.value.expected) == (got, expected)


@pytest.mark.parametrize("run", [compute, plan_compute])
def test_what_does_not_fit_is_refused_before_any_part_is_computed(
    planned: Recipe, run: Callable[[Recipe], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(cost_module.shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    with pytest.raises(PlanRefused, match="not fit on the disk"):
        run(planned)
    assert not list((planned.store / "features").rglob("c/*/0/0"))


def forbid_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Cluster) -> None:
        raise AssertionError("a cluster was started")

    monkeypatch.setattr(compute_module, "open_client", fail)


def test_more_workers_than_there_is_memory_for_are_never_started(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_clusters(monkeypatch)
    crowded = LocalProcesses(workers=1_000_000)
    with pytest.raises(PlanRefused, match="not fit in the memory"):
        refuse_crowded_workers(crowded)
    for run in (compute, plan_compute):
        with pytest.raises(PlanRefused, match="not fit in the memory"):
            run(recipe.model_copy(update={"cluster": crowded}))


def test_faults_of_a_recipe_are_found_before_a_cluster_starts(
    make_recipe: Make, recipe: Recipe, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (archive / "2024/07/01/OPERA/COMP").glob("*T0[3-4]*"):
        path.unlink()
    gapped = make_recipe(store=str(recipe.store.with_name("gapped")))
    ingest(gapped)
    nowhere = {"region": {"box": [-30, 30, -29, 31]}}
    elsewhere = Recipe.model_validate({**recipe.model_dump(mode="json"), "tiles": nowhere})
    forbid_clusters(monkeypatch)
    for run in (compute, plan_compute):
        with pytest.raises(EmptySplitError, match="the region holds no tile"):
            run(elsewhere)
        with pytest.raises(EmptySplitError, match="the validation split has no composite"):
            run(gapped)


def test_where_all_is_there_no_cluster_starts(
    planned: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_clusters(monkeypatch)
    plan_compute(planned)
    compute_share(planned, Share(1, 1))
    assert compute(planned).parts == 0
    assert open_snapshot(planned.store).rows("train") > 0
    assert compute(planned).parts == 0


def test_tiles_that_cannot_be_read_are_no_plan(planned: Recipe) -> None:
    shard = next((planned.store / "composites.zarr/rain_rate/rain_rate/c").rglob("0/0"))
    data = shard.read_bytes()
    shard.write_bytes(data[:1000] + bytes(len(data) - 1000))
    with pytest.raises(TaskError, match="first tiles of the snapshot could not be computed"):
        plan_compute(planned)


MEASURE = """
import json, re, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
import distributed
import numpy as np
from minkgen.recipe_file import load_recipe
from minkgen.gamma.warm_up import warm_up
from minkgen.store.build import create_staging
from minkgen.tiles.eligibility import FrameTiles
from minkgen.tiles.table import frame_rows, merge_rows
from minkgen.workflows import cost, plan
from minkgen.workflows.compute import compute
from minkgen.workflows.parts import compute_part
from minkgen.workflows.progress import Silent

recipe, count = load_recipe(sys.argv[1]), int(sys.argv[2])
build = plan.plan_from_composites(recipe, None, Silent())
# Rows of one part: tiles that overlap, as no recipe may have them, of the frames that there are.
random = np.random.default_rng(0)
times = build.plan.rows["train"]["time"].unique().to_pylist()
frames = []
for time, share in zip(times, np.array_split(np.arange(count), len(times))):
    place = np.sort(random.choice(300 * 400, len(share), replace=False))
    tiles = FrameTiles(
        (place // 400).astype(np.int32), (place % 400).astype(np.int32), np.ones(len(share)),
        np.full(len(share), 0.2), np.ones(len(share), np.float32),
    )
    frames.append(frame_rows(time, "NIMBUS_RATE", tiles))
rows = {**build.plan.rows, "train": merge_rows(frames)}
larger = plan.snapshot_plan(
    recipe, rows, build.making.climate, inputs={}, attribution="nobody's", grid=build.plan.grid,
    digests=lambda _: {},
)
build = plan.Build(build.paths, larger, build.making)
part = larger.parts()[0]
planned = cost._memory(build, part.count)
(task,) = build.tasks(create_staging(build.paths, larger), [part])
warm_up()
compute_part(task)
# Not ru_maxrss, which a child has from its parent on Linux.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(json.dumps({"samples": part.count, "planned": planned, "peak": 1024 * int(peak[1])}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process its own peak")
@pytest.mark.parametrize("count", [200, pytest.param(4096, marks=pytest.mark.slow)])
def test_a_task_needs_the_memory_that_is_planned(
    planned: Recipe, tmp_path: Path, count: int
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(planned.model_dump_json())
    command = [sys.executable, "-c", MEASURE, str(path), str(count)]
    environment = os.environ | {"ZARR_THREADING__MAX_WORKERS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["samples"] == count
    assert told["peak"] <= told["planned"] <= 2 * told["peak"]
