"""The snapshots of a store as an operator handles them: list, publish, roll back, hold, prune."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from minkgen.errors import InputError, StoreError
from minkgen.store.build import snapshot_path, staging_path
from minkgen.store.files import read_json, write_json
from minkgen.store.history import current_name, earlier, read_history, retired
from minkgen.store.layout import StorePaths
from minkgen.store.lock import hold_lock
from minkgen.store.manifest import marked, marks_folder, require_whole, shards_of
from minkgen.store.permissions import Permissions
from minkgen.store.publishing import SWITCH_WAIT_SECONDS, make_current, publish

__all__ = [
    "Lease",
    "Pruned",
    "Shelved",
    "Unfinished",
    "hold_snapshot",
    "list_snapshots",
    "list_unfinished",
    "prune",
    "publish_snapshot",
    "roll_back",
]

_REMOVED = ".removed-"


@dataclass(frozen=True)
class Lease:
    """Somebody asked to keep a snapshot for a while."""

    snapshot: str
    expires: datetime


@dataclass(frozen=True)
class Shelved:
    """A published snapshot.

    Attributes
    ----------
    name : str
    current : bool
    published : datetime or None
        When it became current for the last time; None if nobody recorded it.
    retired : datetime or None
        When it ceased to be current; None while it is, or if nobody recorded it.
    held_until : datetime or None
        The end of its longest lease.
    """

    name: str
    current: bool
    published: datetime | None
    retired: datetime | None
    held_until: datetime | None


@dataclass(frozen=True)
class Unfinished:
    """A snapshot that is not published: its shards, and how many of them are written."""

    name: str
    shards: int
    written: int


@dataclass(frozen=True)
class Pruned:
    """What was removed, or would be, and why each of the others stays."""

    removed: tuple[str, ...]
    kept: dict[str, str]


def list_snapshots(paths: StorePaths) -> list[Shelved]:
    """Return the published snapshots, from the earliest publication to the latest."""
    history, current, leases = read_history(paths), current_name(paths), list(_leases(paths))
    order = {entry.snapshot: index for index, entry in enumerate(history)}
    shelf = []
    for path in paths.features.glob("[!.]*.zarr"):
        name = path.stem
        until = [lease.expires for lease in leases if lease.snapshot == name]
        published = history[order[name]].time if name in order else None
        shelf.append(
            Shelved(
                name, name == current, published, retired(history, name), max(until, default=None)
            )
        )
    return sorted(shelf, key=lambda each: (order.get(each.name, -1), each.name))


def list_unfinished(paths: StorePaths) -> list[Unfinished]:
    """Return the snapshots that grow, or whose building was interrupted, by name."""
    found = []
    for staging in sorted(paths.features.glob(f"{staging_path(paths, '*').name}")):
        if marks_folder(staging).exists():
            shards = shards_of(staging)
            written = sum(marked(staging, shard) is not None for shard in shards)
            name = staging.stem.removeprefix(staging_path(paths, "").stem)
            found.append(Unfinished(name, len(shards), written))
    return found


def publish_snapshot(paths: StorePaths, name: str, permissions: Permissions) -> Path:
    """Publish a finished snapshot, or make an older one current, after reading it as a whole.

    Returns
    -------
    Path
        The snapshot.

    Raises
    ------
    StoreError
        If it is not there, not finished, or damaged; `current` stays as it is.
    StoreLockedError
        If a snapshot is being built.
    """
    if snapshot_path(paths, name).exists():
        require_whole(snapshot_path(paths, name), digests=True)
        return publish(paths, name, permissions)
    with hold_lock(paths.lock("build")):
        return publish(paths, name, permissions)


def roll_back(paths: StorePaths, permissions: Permissions, name: str | None = None) -> str:
    """Switch `current` back to the snapshot that was current before, or to a named one.

    The snapshot is read as a whole before. Rolling back twice goes back two publications.

    Returns
    -------
    str
        The name of the snapshot that is current now.

    Raises
    ------
    StoreError
        If there is no such snapshot, or it is damaged; `current` stays as it is.
    """
    current = current_name(paths)
    there = {each.name for each in list_snapshots(paths)}
    if name is None:
        before = [each for each in earlier(read_history(paths), current) if each in there]
        if not before:
            raise StoreError(
                "there is nothing to roll back to",
                where=paths.history,
                got=f"current is {current}; no other snapshot that was current is still there",
                hint="name one of `minkgen store list`",
            )
        name = before[0]
    if name not in there:
        raise StoreError(
            "there is no such snapshot",
            where=paths.features,
            got=name,
            expected=", ".join(sorted(there)) or "none at all",
            hint="`minkgen store list RECIPE` tells when each was published",
        )
    require_whole(snapshot_path(paths, name), digests=True)
    make_current(paths, name, permissions, "rollback")
    return name


def hold_snapshot(paths: StorePaths, name: str, days: float) -> Path:
    """Keep a snapshot from being pruned for some days.

    Parameters
    ----------
    paths : StorePaths
    name : str
        Of the snapshot, or `current`.
    days : float

    Returns
    -------
    Path
        The lease; removing it ends it early.

    Raises
    ------
    StoreError
        If the snapshot is not there (any more).
    """
    if not days > 0:
        raise InputError("a snapshot is held for some time", got=days, expected="days above 0")
    held = (current_name(paths) or name) if name == "current" else name
    lease = paths.leases / f"{held}-{uuid4().hex[:12]}.json"
    expires = datetime.now(UTC) + timedelta(days=days)
    write_json(lease, {"snapshot": held, "expires": expires.isoformat(timespec="seconds")})
    # `prune` looks for leases once more after it took a snapshot's name away: one of us sees the
    # other.
    if not snapshot_path(paths, held).exists():
        lease.unlink()
        raise StoreError(
            "there is no such snapshot",
            where=paths.features,
            got=held,
            hint="`minkgen store list` names those that are there",
        )
    return lease


def _leases(paths: StorePaths) -> Iterator[Lease]:
    for path in sorted(paths.leases.glob("*.json")):
        try:
            content = read_json(path)
        except FileNotFoundError:
            continue  # given back
        try:
            yield Lease(content["snapshot"], datetime.fromisoformat(content["expires"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                "a lease cannot be read, and whatever it holds is not removed",
                where=path,
                got=error,
                hint="mend it or remove it",
            ) from error


def prune(
    paths: StorePaths,
    keep: int,
    grace: timedelta,
    *,
    dry_run: bool = False,
    now: datetime | None = None,
) -> Pruned:
    """Remove old snapshots.

    The current one stays, so do the `keep` latest publications (the current one is among them), all
    that were current within the grace - a reader may have opened them at the last moment, and
    read-only readers leave no trace - and all that a lease holds.

    Parameters
    ----------
    paths : StorePaths
    keep : int
        At least 1.
    grace : timedelta
    dry_run : bool, optional
        Only say what would be removed.
    now : datetime, optional
        What the ends of grace and leases are compared with.

    Raises
    ------
    StoreError
        If the history or a lease cannot be read; nothing is removed.
    """
    if keep < 1:
        raise InputError("at least the current snapshot is kept", got=keep, expected="1 or more")
    now = now or datetime.now(UTC)
    if dry_run:
        return _judge(paths, keep, grace, now)
    with hold_lock(paths.lock("current"), wait_seconds=SWITCH_WAIT_SECONDS):
        judged = _judge(paths, keep, grace, now)
        removed = [name for name in judged.removed if _take_away(paths, name, now)]
    # Under other names by now, among them those of a run that was killed.
    for left_over in paths.features.glob(f"{_REMOVED}*"):
        shutil.rmtree(left_over)
    held_since = {name: "a lease" for name in judged.removed if name not in removed}
    return Pruned(tuple(removed), judged.kept | held_since)


def _judge(paths: StorePaths, keep: int, grace: timedelta, now: datetime) -> Pruned:
    shelf = list_snapshots(paths)
    latest = {each.name for each in shelf[-keep:]}
    removed, kept = [], {}
    for each in shelf:
        reason = _reason_to_keep(paths, each, grace, now)
        if reason is None and each.name in latest:
            reason = f"among the {keep} latest"
        if reason is None:
            removed.append(each.name)
        else:
            kept[each.name] = reason
    return Pruned(tuple(removed), kept)


def _reason_to_keep(
    paths: StorePaths, shelved: Shelved, grace: timedelta, now: datetime
) -> str | None:
    if shelved.current:
        return "current"
    for_urls = paths.features / "current.json"
    if for_urls.exists() and read_json(for_urls) == {"snapshot": f"{shelved.name}.zarr"}:
        return "current for readers of URLs"
    if shelved.held_until is not None and shelved.held_until > now:
        return f"a lease until {shelved.held_until:%F}"
    # One that nobody recorded, or that was published by hand, is as old as its folder.
    changed = snapshot_path(paths, shelved.name).stat().st_mtime
    last_current = shelved.retired or datetime.fromtimestamp(changed, UTC)
    if now - last_current < grace:
        return f"current until {last_current:%F %R}"
    return None


def _take_away(paths: StorePaths, name: str, now: datetime) -> bool:
    """Give a snapshot a name that nobody looks for; give it back if it has just been held."""
    aside = paths.features / f"{_REMOVED}{name}-{uuid4().hex[:12]}.zarr"
    path = snapshot_path(paths, name)
    path.rename(aside)
    if any(lease.snapshot == name and lease.expires > now for lease in _leases(paths)):
        aside.rename(path)
        return False
    return True
