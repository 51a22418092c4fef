"""Publishing: a snapshot that is whole gets its name, and `current` is switched in one step."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from minkgen.errors import StoreError
from minkgen.recipe import Sharing
from minkgen.store.build import fresh_folders, snapshot_path, staging_path
from minkgen.store.files import fsync, fsync_tree, read_json, switch_symlink, write_json
from minkgen.store.history import Action, current_name, record
from minkgen.store.layout import StorePaths
from minkgen.store.lock import hold_lock
from minkgen.store.manifest import marks_folder, require_whole, write_manifest
from minkgen.store.permissions import Permissions, permissions_of

__all__ = ["SWITCH_WAIT_SECONDS", "make_current", "publish"]

# Whoever holds the lock on `current` renames a few files.
SWITCH_WAIT_SECONDS = 60.0
DEFAULT_PERMISSIONS = permissions_of(Sharing())


def publish(paths: StorePaths, name: str, permissions: Permissions = DEFAULT_PERMISSIONS) -> Path:
    """Publish a snapshot that was built, or make one that was published before current again.

    Nothing is missing, all is flushed to disk and write permission is taken before the folder gets
    its name; then `current` is switched. Interrupted at any step, it can be done again.

    Parameters
    ----------
    paths : StorePaths
    name : str
        Of the snapshot.
    permissions : Permissions, optional

    Returns
    -------
    Path
        The snapshot.

    Raises
    ------
    StoreError
        If a shard is missing, or a published snapshot is damaged; `current` stays as it is.
    StoreLockedError
        If another process does not end to switch `current`.
    """
    target, staging = snapshot_path(paths, name), staging_path(paths, name)
    if target.exists():
        require_whole(target, digests=False)
    else:
        _finish(staging, permissions)
        staging.rename(target)
        fsync(paths.features)
    make_current(paths, name, permissions)
    for left_over in (staging, marks_folder(staging), *fresh_folders(paths, name)):
        if left_over.exists():
            shutil.rmtree(left_over)
    return target


def _finish(staging: Path, permissions: Permissions) -> None:
    if not staging.exists():
        raise StoreError(
            "there is no such snapshot, finished or not",
            where=staging.parent,
            got=staging.name,
            hint="see `minkgen store list`",
        )
    for partial in _partials(staging):
        partial.unlink(missing_ok=True)
    write_manifest(staging)
    fsync_tree(staging)
    permissions.seal(staging)


def _partials(staging: Path) -> list[Path]:
    """Return what killed writers left."""
    return [
        Path(folder, name)
        for folder, _, names in os.walk(staging)
        for name in names
        if name.endswith(".partial")
    ]


def make_current(
    paths: StorePaths, name: str, permissions: Permissions, action: Action = "publish"
) -> None:
    """Point `current` at a published snapshot, for folders and for URLs, and record it."""
    with hold_lock(paths.lock("current"), wait_seconds=SWITCH_WAIT_SECONDS):
        permissions.share(paths.features)
        if current_name(paths) != name:
            record(paths, name, action, permissions.share)
            switch_symlink(paths.current, f"{name}.zarr")
        for_urls = paths.features / "current.json"
        content = {"snapshot": f"{name}.zarr"}
        if not for_urls.exists() or read_json(for_urls) != content:
            write_json(for_urls, content, share=permissions.share)
