"""What docs/cluster.md tells an operator, on the test bed: the commands are read from the page.

Only what names a site is replaced: the network by a folder, 15 months by 6 hours, a partition by
the bed's, and a new environment by the one under test (tests/test_wheel.py installs one).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from minkgen.opera.synthetic import write_archive
from tests.slurm.bed import Bed, wait_until
from tests.slurm.conftest import END, START

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "cluster.md"
SMALL_JOBS = "--cpus-per-task=1 --mem=3G"
# What is replaced in the page, and by what; {store} is the test's.
REPLACED = {
    "python3 -m venv ~/minkgen && . ~/minkgen/bin/activate": ":",
    "pip install .": ":",
    "/project/rain/store": "{store}",
    "--cluster slurm --workers 16": "--cluster slurm --workers 1 --set cluster.memory_gb=1.5",
    "--workers 16": "--workers 1",
    "submit-array.sh 16": "submit-array.sh 2",
    "--partition=main --account=radar": f"--partition=main {SMALL_JOBS}",
    "--partition=transfer": f"--partition=main {SMALL_JOBS}",
    "1hour": "2seconds",
}
# What the page asks to fill in.
SITE = {"queue": "main", "interface": "lo", "scratch": "/tmp"}  # noqa: S108 - below it a node's own
DELETED = ("account", "modules", "python", "directives")


def page_blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


class Operator:
    """Somebody with a home, a checkout and the page, who does what it says."""

    def __init__(self, home: Path, bed: Bed) -> None:
        self.home, self.store = home, home / "project" / "store"
        self._bed = bed
        self._blocks = page_blocks()
        self._variables = home / "variables"

    def environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in self._bed.environment().items()
            if not name.startswith("MINKGEN_")
        }
        path = f"{Path(sys.executable).parent}:{kept['PATH']}"
        return kept | {"HOME": str(self.home), "PATH": path, "OMP_NUM_THREADS": "1"}

    def does(self, block: str, status: int = 0) -> str:
        """Run the one block of the page that holds these words, in the checkout; return stdout."""
        found = [each for each in self._blocks if block in each]
        assert len(found) == 1, f"{len(found)} blocks of {PAGE.name} hold {block!r}"
        text = found[0]
        for words, others in REPLACED.items():
            text = text.replace(words, others.format(store=self.store))
        # A user's shell keeps what a block exports for the blocks that follow.
        script = f". {self._variables}\nset -e\n{text}\nexport -p > {self._variables}\n"
        self._variables.touch()
        done = subprocess.run(  # noqa: S603 - the page's commands
            ["/bin/bash", "-c", script],
            cwd=self._checkout(),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == status, f"{text}\n{done.stdout}\n{done.stderr}"
        self._blocks.remove(found[0])
        return done.stdout

    def _checkout(self) -> Path:
        """Return a folder that looks like the checkout; jobs leave their logs in it."""
        folder = self.home / "checkout"
        folder.mkdir(exist_ok=True)
        for name in ("deploy", "minkgen"):
            if not (folder / name).exists():
                (folder / name).symlink_to(ROOT / name)
        return folder

    def fills_in_the_site(self) -> None:
        path = self.home / "site.yaml"
        site: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        site |= SITE
        site["transfer"] |= {"workers": 1}
        for key in DELETED:
            del site[key]
        path.write_text(yaml.safe_dump(site), encoding="utf-8")

    def changes(self, recipe: str, **keys: Any) -> None:
        path = self.home / "recipes" / recipe
        data = yaml.safe_load(path.read_text(encoding="utf-8")) | keys
        path.write_text(yaml.safe_dump(data), encoding="utf-8")

    def left(self) -> list[str]:
        """Return the blocks of the page that nobody has done yet."""
        return self._blocks


def runs(log: Path) -> list[dict[str, Any]]:
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def test_an_operator_follows_the_page(
    inside_bed: Bed, recipe_data: dict[str, Any], tmp_path: Path
) -> None:
    write_archive(tmp_path / "archive", start=START, end=END, layout="nimbus", seed=1)
    operator = Operator(tmp_path, inside_bed)

    operator.does("cp deploy/sites/template.yaml")
    assert {path.name for path in (tmp_path / "recipes").iterdir()} >= {"paper.yaml"}
    operator.fills_in_the_site()
    assert "0 failed" in operator.does("minkgen doctor")

    small = {key: recipe_data[key] for key in ("source", "grid", "period", "splits")}
    small["persistence"] = {"essential": "background"}
    operator.changes("paper.yaml", **small)
    # Another recipe would need a store, and minutes, of its own.
    same = {"name": "paper", "store": str(operator.store), "exclude_flags": []}
    operator.changes("archive.yaml", **small, **same)
    assert "24 ok" in operator.does("minkgen ingest")

    told = operator.does("--dry-run\nminkgen compute")
    assert "#SBATCH -p main" in told
    assert "planned, nothing computed" in told
    current = operator.store / "features" / "current"
    first = current.resolve()
    assert first.is_dir()

    jobs = re.search(r"^plan (\d+), shares (\d+), publication (\d+)$", operator.does("array"), re.M)
    assert jobs is not None
    assert inside_bed.wait(jobs[3], {"COMPLETED", "FAILED", "CANCELLED"}, 120) == "COMPLETED"
    assert current.resolve() == first

    assert f"{first.stem}: current" in operator.does("minkgen verify")
    operator.does("--new-version")
    second = current.resolve()
    assert second != first
    told = operator.does("rollback")
    assert "persistence.essential: background and alive" in told
    assert f"{first}: current" in told
    assert current.resolve() == first

    log = tmp_path / "rebuilds.jsonl"
    operator.does("schedule-rebuild.sh")
    wait_until("two rebuilds", lambda: len(runs(log)) >= 2, 120)
    assert operator.does("tail -n 1") == "nothing new\n", log.read_text(encoding="utf-8")
    operator.does("scancel")
    wait_until("no job", lambda: not inside_bed.run("squeue", "--noheader").strip(), 60)
    assert operator.left() == []
