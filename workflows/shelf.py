"""The snapshots of a recipe's store: listed, published, rolled back, compared and pruned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from minkgen.recipe import Recipe
from minkgen.store import comparison, shelf
from minkgen.store.build import snapshot_path
from minkgen.store.comparison import Comparison, Overlap
from minkgen.store.composites import open_composites
from minkgen.store.files import explain_os_errors
from minkgen.store.layout import StorePaths
from minkgen.store.permissions import permissions_of
from minkgen.store.shelf import Pruned, Shelved, Unfinished
from minkgen.store.snapshot import open_snapshot

__all__ = ["Comparison", "Overlap", "Shelf", "diff", "prune", "publish", "rollback", "show_shelf"]


@dataclass(frozen=True)
class Shelf:
    """The snapshots of a store."""

    store: Path
    snapshots: list[Shelved]
    unfinished: list[Unfinished]


def _plain(name: str) -> str:
    """Return a snapshot's name, given with or without `.zarr`."""
    return name.removesuffix(".zarr")


def _paths(recipe: Recipe) -> StorePaths:
    """Return the paths of a store that is there."""
    return open_composites(StorePaths(recipe.store.absolute(), recipe.group)).paths


def show_shelf(recipe: Recipe) -> Shelf:
    """Return the snapshots of a recipe's store, published and unfinished."""
    paths = _paths(recipe)
    return Shelf(paths.root, shelf.list_snapshots(paths), shelf.list_unfinished(paths))


def publish(recipe: Recipe, name: str) -> Path:
    """Publish a finished snapshot, or make an older one current; see `store.shelf`."""
    paths = _paths(recipe)
    with explain_os_errors(paths.root):
        return shelf.publish_snapshot(paths, _plain(name), permissions_of(recipe.sharing))


def rollback(recipe: Recipe, name: str | None = None) -> Path:
    """Switch `current` to the snapshot before, or to a named one; see `store.shelf`."""
    paths = _paths(recipe)
    with explain_os_errors(paths.root):
        wanted = None if name is None else _plain(name)
        found = shelf.roll_back(paths, permissions_of(recipe.sharing), wanted)
        return snapshot_path(paths, found)


def prune(
    recipe: Recipe, keep: int, grace: timedelta | None = None, *, dry_run: bool = False
) -> Pruned:
    """Remove old snapshots; see `store.shelf`. The grace is the recipe's where none is given."""
    paths = _paths(recipe)
    grace = timedelta(days=recipe.sharing.grace_days) if grace is None else grace
    with explain_os_errors(paths.root):
        return shelf.prune(paths, keep, grace, dry_run=dry_run)


def diff(recipe: Recipe, first: str, second: str) -> Comparison:
    """Return how two snapshots of a recipe's store differ."""
    paths = _paths(recipe)
    return comparison.compare(open_snapshot(paths.root, first), open_snapshot(paths.root, second))
