"""A compute that is killed, or runs out of disk, or may not write: the store stays as it was."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr

from minkgen.recipe import Recipe
from minkgen.store.layout import StorePaths
from minkgen.store.manifest import faults_of
from minkgen.store.snapshot import open_snapshot
from minkgen.workflows.compute import compute

PROGRAM = "from minkgen.cli.main import main; main()"
KILLS = 8


def content_of(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def start_compute(recipe: Recipe, folder: Path) -> subprocess.Popen[str]:
    path = folder / "recipe.yaml"
    path.write_text(recipe.model_dump_json())
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-c", PROGRAM, "compute", str(path), "--quiet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
def test_killed_at_random_moments(recipe: Recipe, tmp_path: Path) -> None:
    # Parts that take some hundred milliseconds each: 25 pixels are the least that mix-up takes.
    tiles = recipe.tiles.model_copy(update={"size": 25, "stride": 25, "dry_fraction": 0.9})
    recipe = recipe.model_copy(update={"tiles": tiles})
    undisturbed = recipe.model_copy(update={"store": tmp_path / "undisturbed"})
    shutil.copytree(recipe.store, undisturbed.store)
    expected = compute(undisturbed)
    assert expected.parts > 3

    chance = random.Random(5)  # noqa: S311 - moments, no secrets
    paths = StorePaths(recipe.store)
    for kill in range(KILLS):
        process = start_compute(recipe, tmp_path)
        try:
            # From the moment it holds the lock: what comes before is reading.
            waited_since = time.monotonic()
            tickets = paths.lock("build")
            while not any(f'"pid": {process.pid},' in text for text in texts(tickets)):
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() - waited_since < 120
                time.sleep(0.005)
            time.sleep(chance.uniform(0.0, 8.0))
        finally:
            # As a scheduler ends a job, and as a node ends that loses its power.
            how = signal.SIGKILL if kill % 2 else signal.SIGTERM
            os.killpg(process.pid, how)
            process.communicate(timeout=60)
        if paths.current.exists():
            shutil.rmtree(paths.features)  # it was done: begin anew, so that kills hit work
    last = start_compute(recipe, tmp_path)
    assert last.communicate(timeout=300)[1] is not None
    assert last.returncode == 0
    assert content_of(open_snapshot(recipe.store).path) == content_of(expected.snapshot)
    assert not list(paths.features.glob(".*"))


def texts(folder: Path) -> list[str]:
    found = []
    for path in folder.glob("*.json"):
        try:
            found.append(path.read_text())
        except FileNotFoundError:
            continue
    return found


def can_mount() -> bool:
    tool = shutil.which("unshare")
    if tool is None:
        return False
    command = [tool, "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace of its own, for a small disk")
def test_a_full_and_a_read_only_disk(
    recipe: Recipe, make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    program = f'"{sys.executable}" -c "{PROGRAM}"'
    small = make_recipe(source=recipe.source, store=str(disk / "store"))
    for name, chosen in {
        "first": small,
        "second": small.model_copy(update={"seed": 1}),
    }.items():
        (tmp_path / f"{name}.yaml").write_text(chosen.model_dump_json())
    first = f'{program} compute "{tmp_path}/first.yaml" --quiet'
    second = f'{program} compute "{tmp_path}/second.yaml" --quiet --new-version'
    read = (
        f'"{sys.executable}" -c "import minkgen; '
        f"print(float(minkgen.open_features('{disk}/store', 'test')['gamma'].sum()))\""
    )
    script = f"""
        set -e
        mount -t tmpfs -o size=400m none "{disk}"
        cp -r "{recipe.store}" "{disk}/store"
        {first}
        {read} > "{tmp_path}/sum"

        for left in 300 1200; do  # too full to begin, and too full for what is planned
            free=$(df --output=avail -k "{disk}" | tail -1)
            head -c $((free - left))k /dev/zero > "{disk}/filler"
            if {second} 2> "{tmp_path}/full-$left"; then exit 9; fi
            {read} | cmp - "{tmp_path}/sum"
            rm "{disk}/filler"
        done

        mount -o remount,ro "{disk}"
        if {second} 2> "{tmp_path}/read-only"; then exit 8; fi
        {read} | cmp - "{tmp_path}/sum"
        mount -o remount,rw "{disk}"

        cp -r "{disk}/store" "{tmp_path}/kept"
        {second}
        cp -r "{disk}/store" "{tmp_path}/after"
    """
    done = subprocess.run(  # noqa: S603 - our own script
        ["unshare", "--map-root-user", "--mount", "bash", "-c", script],  # noqa: S607
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    full = (tmp_path / "full-300").read_text()
    assert full.startswith("Error: the store cannot be written")
    assert "No space left on device" in full
    assert (tmp_path / "full-1200").read_text().startswith("Error: the snapshot would not fit")
    refused = (tmp_path / "read-only").read_text()
    assert refused.startswith("Error: the store cannot be written")
    assert "Read-only file system\n  next: the file system is read-only" in refused
    first_name = StorePaths(tmp_path / "kept").current.readlink()
    assert len(list((tmp_path / "kept/features").glob("[!.]*.zarr"))) == 1
    after = StorePaths(tmp_path / "after")
    assert after.current.readlink() != first_name
    undisturbed = recipe.model_copy(update={"seed": 1})
    assert content_of(after.current.resolve()) == content_of(compute(undisturbed).snapshot)
    assert faults_of(after.features / first_name, digests=True) == []
    xr.open_zarr(after.features / first_name, group="train").load()
