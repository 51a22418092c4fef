"""A disk that runs full in the middle of a day: the store stays valid, and the next run goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import xarray as xr

from minkgen.recipe import Recipe
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import read_ledger
from minkgen.workflows.ingest import ingest

DAY = datetime(2024, 7, 1, tzinfo=UTC).date()

# Both days' tasks, without the check of the free space that comes before them.
WORK = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from minkgen.grid import TEST_2KM
from minkgen.opera.fetching.folder import FolderSource
from minkgen.store.composites import create_composites
from minkgen.store.layout import StorePaths
from minkgen.workflows.ingest_day import DayTask, ingest_day

store, archive = map(Path, sys.argv[1:])
create_composites(StorePaths(store), TEST_2KM, (2024, 2024))
start = datetime(2024, 7, 1, tzinfo=UTC)
times = tuple(start + timedelta(minutes=15 * quarter) for quarter in range(24))
ingest_day(DayTask(StorePaths(store), FolderSource(archive), start.date(), times))
"""


def can_mount() -> bool:
    tool = shutil.which("unshare")
    if tool is None:
        return False
    command = [tool, "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace of its own, for a small disk")
def test_a_full_disk_leaves_a_valid_store(
    make_recipe: Callable[..., Recipe], synthetic_archive: Path, tmp_path: Path
) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    run = f'"{sys.executable}" -c "$WORK" "{disk}/store" "{synthetic_archive}"'
    script = f"""
        set -e
        mount -t tmpfs -o size=4m none "{disk}"
        if {run} 2> "{tmp_path}/stderr"; then exit 9; fi
        cp -r "{disk}/store" "{kept}"
        mount -o remount,size=400m "{disk}"
        {run}
        cp -r "{disk}/store" "{tmp_path}/store"
    """
    done = subprocess.run(  # noqa: S603 - our own script
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],  # noqa: S607
        env={"WORK": WORK, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in (tmp_path / "stderr").read_text()
    assert read_ledger(StorePaths(kept), DAY).count("ok") == 0
    xr.open_zarr(StorePaths(kept).composites, group="rain_rate")["rain_rate"].isel(time=0).load()

    undisturbed = make_recipe(
        source={"path": str(synthetic_archive)}, store=str(tmp_path / "undisturbed")
    )
    ingest(undisturbed)
    roots = [StorePaths(tmp_path / name).composites for name in ("store", "undisturbed")]
    contents = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in roots
    ]
    assert contents[0] == contents[1]
