"""A snapshot by an array of jobs, without a scheduler of ours: the bytes of one machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from minkgen.recipe import Recipe
from minkgen.workflows.compute import compute
from tests.slurm.bed import Bed
from tests.workflows.trees import tree

pytestmark = pytest.mark.slurm

SUBMIT = Path(__file__).parents[2] / "deploy" / "slurm" / "submit-array.sh"
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")


def test_plan_shares_and_publication(
    inside_bed: Bed, ingested: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINKGEN", str(Path(sys.executable).with_name("minkgen")))
    monkeypatch.setenv("MINKGEN_SBATCH_OPTIONS", "--cpus-per-task=1 --mem=3G")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    file = tmp_path / "recipe.yaml"
    file.write_text(ingested.model_dump_json(), encoding="utf-8")
    done = subprocess.run(  # noqa: S603 - our own script
        [str(SUBMIT), "2", str(file)],
        cwd=inside_bed.jobs,
        check=True,
        capture_output=True,
        text=True,
    )
    jobs = re.fullmatch(r"plan (\d+), shares (\d+), publication (\d+)\n", done.stdout)
    assert jobs is not None, done.stdout
    logs = sorted(inside_bed.jobs.glob("minkgen-*.log"))
    assert inside_bed.wait(jobs[3], ENDED, 180) == "COMPLETED", [log.read_text() for log in logs]
    published = (ingested.store / "features" / "current").resolve()
    by_array = tree(published)
    alone = ingested.model_copy(update={"store": tmp_path / "alone"})
    (alone.store).mkdir()
    for name in ("composites.zarr", "frames", "ledger", "rain_rate.json"):
        (alone.store / name).symlink_to(ingested.store / name)
    made = compute(alone).snapshot
    assert made.name == published.name
    assert tree(made) == by_array
