"""Checks of folders: nothing left behind, nothing half-written where readers look."""

from __future__ import annotations

import stat
import time
from pathlib import Path

from minkgen.store.files import sha256_of
from minkgen.store.manifest import MANIFEST, read_manifest
from minkgen.store.verify.findings import Faults, Finding
from minkgen.store.verify.view import StoreView

__all__ = ["files", "published", "read_only", "staging"]


def staging(view: StoreView) -> Finding:
    """Look for what interrupted runs left: builds, files on their way, partial files."""
    root, features = view.paths.root, view.paths.features
    left = [
        *features.glob(".*.zarr"),
        *(root / "incoming").glob("*"),
        *(
            path
            for path in root.rglob("*.partial")
            if not {"incoming", "features"} & set(path.relative_to(root).parts[:-1])
        ),
        *features.glob(".*.partial"),
    ]
    faults, now = Faults(), time.time()
    for path in sorted(left):
        hours = (now - _newest(path)) / 3600
        faults.require(hours <= 24, path, f"untouched for {hours:.0f} h", "removed, or in use")
    if faults.count:
        step = "remove it when no run is using it; running the same command again takes a build up"
        return faults.finding(len(left), "files and folders on their way", step)
    return Finding("passed", f"{len(left)} files and folders on their way")


def _newest(path: Path) -> float:
    times = [path.lstat().st_mtime]
    if path.is_dir() and not path.is_symlink():
        times += [inner.lstat().st_mtime for inner in path.rglob("*")]
    return max(times)


def published(view: StoreView) -> Finding:
    """Look for temporary and empty files in every published snapshot."""
    faults, count = Faults(), 0
    for snapshot in view.published():
        for path in sorted(snapshot.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                continue
            count += 1
            if path.name.startswith(".") or path.suffix in (".partial", ".tmp"):
                faults.add(path, "a temporary file", "none")
            elif path.is_symlink() or path.lstat().st_size == 0:
                faults.add(path, "a link" if path.is_symlink() else "an empty file", "a whole file")
    return faults.finding(
        count, "files of published snapshots", "compute the snapshot anew; do not train on this one"
    )


def files(view: StoreView) -> Finding:
    """Compare every file of the snapshot with the size and digest it was published with."""
    snapshot = view.snapshot.path
    records, faults = read_manifest(snapshot), Faults()
    for name, record in records.items():
        path = snapshot / name
        if not path.is_file():
            faults.add(path, "no file", f"{record.size} bytes")
        elif path.stat().st_size != record.size:
            faults.add(path, f"{path.stat().st_size} bytes", f"{record.size} bytes")
        else:
            faults.equal(path, got=sha256_of(path), expected=record.sha256)
    for path in snapshot.rglob("*"):
        name = path.relative_to(snapshot).as_posix()
        if path.is_file() and name != MANIFEST and name not in records:
            faults.add(path, "a file that was not published", "none")
    return faults.finding(
        len(records), "files", "`minkgen store rollback`, and compute this snapshot anew"
    )


def read_only(view: StoreView) -> Finding:
    """Look at the permissions of the files of the snapshot."""
    faults, count = Faults(), 0
    for path in sorted(view.snapshot.path.rglob("*")):
        if path.is_file():
            count += 1
            mode = path.stat().st_mode
            writable = mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
            faults.require(not writable, path, stat.filemode(mode), "no write permission")
    return faults.finding(count, "files", f"chmod -R a-w {view.snapshot.path}")
