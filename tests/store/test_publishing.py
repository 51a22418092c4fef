"""Publishing: in one step, only what is whole, and readers see one snapshot or the other."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minkgen.errors import RecipeError, StoreError, StoreLockedError
from minkgen.recipe import Sharing
from minkgen.recipe_file import load_recipe
from minkgen.store import publishing
from minkgen.store.build import create_staging, is_written
from minkgen.store.history import current_name, read_history
from minkgen.store.layout import StorePaths
from minkgen.store.lock import hold_lock
from minkgen.store.manifest import faults_of, read_manifest, require_whole
from minkgen.store.permissions import permissions_of
from minkgen.store.publishing import publish
from minkgen.store.snapshot import open_snapshot
from tests.store.tiny import Tiny, content

ROOT = Path(__file__).parents[2]
FIRST, SECOND = Tiny("first"), Tiny("second", rain=1)

# Publishes 20 times, on a file system on which every step in `features` takes its time: what
# lies between two steps is there for readers to see.
PUBLISHER = """
import os, sys, time
from pathlib import Path
from minkgen.store.layout import StorePaths
from minkgen.store.publishing import publish
from tests.store.tiny import Tiny, use_tiny_parts

use_tiny_parts()
os.fsync = lambda descriptor: None
paths = StorePaths(Path(sys.argv[1]))
switching = [False]

def slowly(event, arguments):
    steps = ("os.rename", "os.link", "os.symlink", "os.remove", "open")
    if switching[0] and event in steps and "current" in str(arguments[0]) + str(arguments[1]):
        time.sleep(0.02)

sys.addaudithook(slowly)
for step in range(1, 21):
    number = step % 5  # number 0 is there; each of the others is new once, and then an older one
    tiny = Tiny(f"number-{number}", rain=number, gamma=number)
    if step < 5:
        tiny.write(paths)
    switching[0] = True
    publish(paths, tiny.name)
    switching[0] = False
"""


def test_a_reader_never_sees_mixed_or_missing_data(tiny_store: StorePaths, kept: Path) -> None:
    Tiny("number-0").place(tiny_store, kept)
    publish(tiny_store, "number-0")
    publisher = subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", PUBLISHER, str(tiny_store.root)], cwd=ROOT
    )
    seen, reads = set(), 0
    try:
        while (running := publisher.poll() is None) or current_name(tiny_store) not in seen:
            snapshot = open_snapshot(tiny_store.root)
            number = snapshot.metadata["added"]["rain_rate"]
            published = Tiny(f"number-{number}", rain=number, gamma=number)
            assert snapshot.name == published.name
            for array in ("rain_rate", "gamma"):
                found = snapshot.array("train", array)[:]
                assert np.array_equal(found, published.values("train", array))
            url = json.loads((tiny_store.features / "current.json").read_text())["snapshot"]
            assert (tiny_store.features / url).is_dir()
            seen.add(snapshot.name)
            reads += 1
            assert running or reads < 10_000
    finally:
        publisher.kill()
        publisher.wait()
    assert publisher.returncode == 0
    assert len(seen) == 5
    assert len(read_history(tiny_store)) == 21


def test_what_is_published_is_listed_file_by_file(tiny_store: StorePaths, kept: Path) -> None:
    FIRST.place(tiny_store, kept)
    target = publish(tiny_store, "first")
    records = read_manifest(target)
    assert set(records) == set(content(target)) - {"parts.json"}
    assert (
        records["train/gamma/c/1/0/0"].decided_by == FIRST.plan().decided_by["train/gamma/c/1/0/0"]
    )
    assert faults_of(target, digests=True) == []
    assert not list(tiny_store.features.glob(".*"))


@pytest.mark.parametrize(
    ("damage", "told", "sizes_tell"),
    [
        (lambda path: path.unlink(), "is missing", True),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of", True),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), "another SHA-256", False),
    ],
    ids=["missing", "shorter", "changed"],
)
def test_damage_is_found(
    tiny_store: StorePaths, kept: Path, damage: object, told: str, sizes_tell: bool
) -> None:
    FIRST.place(tiny_store, kept)
    target = publish(tiny_store, "first")
    victim = target / "test/rain_rate/c/0/0/0"
    victim.chmod(0o644)
    damage(victim)  # type: ignore[operator]
    with pytest.raises(StoreError, match=told):
        require_whole(target, digests=True)
    assert bool(faults_of(target, digests=False)) == sizes_tell


def test_a_shard_that_lost_its_data_is_unwritten(tiny_store: StorePaths, kept: Path) -> None:
    """As a node leaves it that dies between renaming a file and flushing it."""
    staging = FIRST.place(tiny_store, kept)
    (staging / "test/gamma/c/0/0/0").write_bytes(b"")
    assert [is_written(staging, part) for part in FIRST.plan().parts()] == [True, True, True, False]
    with pytest.raises(StoreError, match="1 missing shards, the first test/gamma"):
        publish(tiny_store, "first")
    FIRST.write(tiny_store)
    assert faults_of(publish(tiny_store, "first"), digests=True) == []


def test_what_killed_writers_left_is_not_published(
    tiny_store: StorePaths, kept: Path, tmp_path: Path
) -> None:
    FIRST.place(StorePaths(tmp_path / "other"), kept)
    undisturbed = publish(StorePaths(tmp_path / "other"), "first")
    staging = FIRST.place(tiny_store, kept)
    (staging / "test/gamma/c/0/0/0.5f3c.partial").write_bytes(b"half")
    assert content(publish(tiny_store, "first")) == content(undisturbed)


def test_a_folder_without_its_root_is_begun_anew(tiny_store: StorePaths) -> None:
    """A copy of a task that was writing when the snapshot was published makes such a folder."""
    stray = tiny_store.features / ".building-first.zarr/train/gamma/c/0/0/0"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"late")
    staging = create_staging(tiny_store, FIRST.plan())
    assert not any(is_written(staging, part) for part in FIRST.plan().parts())


def test_all_is_flushed_before_it_gets_its_name(
    tiny_store: StorePaths, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.add(os.fstat(descriptor).st_ino))
    rename = Path.rename
    inodes: set[int] = set()

    def watched(path: Path, target: Path) -> Path:
        inodes.update(each.stat().st_ino for each in (path, *path.rglob("*")))
        assert inodes <= flushed
        return rename(path, target)

    FIRST.place(tiny_store, kept)
    monkeypatch.setattr(Path, "rename", watched)
    publish(tiny_store, "first")
    assert len(inodes) > 100
    assert tiny_store.features.stat().st_ino in flushed


def test_publications_are_recorded_and_a_step_that_failed_is_forgotten(
    tiny_store: StorePaths, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tiny in (FIRST, SECOND):
        tiny.place(tiny_store, kept)
    publish(tiny_store, "first")
    with monkeypatch.context() as context:
        context.setattr(publishing, "switch_symlink", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            publish(tiny_store, "second")
    assert current_name(tiny_store) == "first"
    assert [entry.snapshot for entry in read_history(tiny_store)] == ["first"]
    publish(tiny_store, "second")
    publish(tiny_store, "second")
    publish(tiny_store, "first")
    assert [(e.snapshot, e.action) for e in read_history(tiny_store)] == [
        ("first", "publish"),
        ("second", "publish"),
        ("first", "publish"),
    ]
    lines = tiny_store.history.read_text().splitlines()
    assert len(lines) == 3 + 2
    tiny_store.history.write_text('[{"snapshot": 1}]')
    with pytest.raises(StoreError, match="history is damaged"):
        read_history(tiny_store)


def test_who_switches_current_waits_for_another(
    tiny_store: StorePaths, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FIRST.place(tiny_store, kept)
    monkeypatch.setattr(publishing, "SWITCH_WAIT_SECONDS", 0.0)
    with hold_lock(tiny_store.lock("current")), pytest.raises(StoreLockedError):
        publish(tiny_store, "first")
    assert current_name(tiny_store) is None
    publish(tiny_store, "first")
    assert current_name(tiny_store) == "first"


def modes(root: Path) -> set[str]:
    return {stat.filemode(path.stat().st_mode) for path in (root, *root.rglob("*"))}


@pytest.mark.parametrize(
    ("umask", "files", "folders", "index"),
    [
        ("0022", "-r--r--r--", "drwxr-xr-x", "-rw-r--r--"),
        ("027", "-r--r-----", "drwxr-x---", "-rw-r-----"),
        ("0002", "-r--r--r--", "drwxrwxr-x", "-rw-rw-r--"),
    ],
)
def test_permissions_are_those_of_the_recipe(
    tiny_store: StorePaths, kept: Path, umask: str, files: str, folders: str, index: str
) -> None:
    before = os.umask(0o077)
    try:
        FIRST.place(tiny_store, kept)
        target = publish(tiny_store, "first", permissions_of(Sharing(umask=umask)))
    finally:
        os.umask(before)
    assert modes(target) == {files, folders}
    assert stat.filemode(tiny_store.features.stat().st_mode) == folders
    for path in (tiny_store.history, tiny_store.features / "current.json"):
        assert stat.filemode(path.stat().st_mode) == index


def test_a_set_group_id_bit_stays(tiny_store: StorePaths, kept: Path) -> None:
    FIRST.place(tiny_store, kept)
    tiny_store.features.chmod(0o2775)
    publish(tiny_store, "first")
    assert stat.S_IMODE(tiny_store.features.stat().st_mode) == 0o2755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to any group")
def test_the_group_is_that_of_the_recipe(tiny_store: StorePaths, kept: Path) -> None:
    FIRST.place(tiny_store, kept)
    target = publish(tiny_store, "first", replace(permissions_of(Sharing()), group=4321))
    assert {path.stat().st_gid for path in (target, *target.rglob("*"))} == {4321}
    assert tiny_store.history.stat().st_gid == 4321


def test_a_group_that_is_not_there_is_refused() -> None:
    with pytest.raises(StoreError, match="recipe's group"):
        permissions_of(Sharing(group="no such group"))


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("sharing.umask=0022", "sharing.umask: must stand in quotes"),
        ('sharing.umask="0322"', "sharing.umask: string should match"),
        ("sharing.grace_days=-1", "sharing.grace_days"),
    ],
)
def test_a_mistaken_umask_is_refused(setting: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        load_recipe("demo", [setting])


def test_sharing_decides_no_number() -> None:
    usual = load_recipe("demo")
    other = load_recipe("demo", ['sharing.umask="0077"', "sharing.group=radar"])
    assert other.sharing != usual.sharing
    assert other.numeric() == usual.numeric()
