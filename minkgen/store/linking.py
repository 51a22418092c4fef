"""Shards that an earlier snapshot holds already: linked instead of computed again."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa

from minkgen.errors import StoreError
from minkgen.recipe import digest
from minkgen.store.build import parts_of
from minkgen.store.layout import StorePaths
from minkgen.store.manifest import FileRecord, mark, marked, read_manifest, shards_of
from minkgen.tiles.table import minutes

__all__ = ["Linked", "kept_digests", "link_shard", "link_shards", "shard_digests"]


_BETWEEN = "-"


@dataclass(frozen=True)
class Linked:
    """What was found in earlier snapshots.

    Attributes
    ----------
    shards : frozenset of str
        The paths of the shards that are in place now.
    damaged : tuple of Path
        Files of earlier snapshots that would have served, but are not as they were published, or
        are gone.
    """

    shards: frozenset[str]
    damaged: tuple[Path, ...]


def shard_digests(
    rows: Mapping[str, pa.Table], inputs: Mapping[datetime, str], choices: Mapping[str, Any]
) -> dict[str, str]:
    """Return the digest of everything that decides the bytes of each shard, by its path.

    Neither the split nor the number of the shard is among it: shards of the same samples are the
    same wherever they lie. A digest has two halves: that of the tiles, and that of the choices.

    Parameters
    ----------
    rows : mapping of str to pyarrow.Table
        The samples of every split, in order.
    inputs : mapping of datetime to str
        The digest of the composite of each time.
    choices : mapping of str to object
        For each array, what else decides its values, as plain JSON values.
    """
    digests = {}
    by_minute = {int(time.timestamp()) // 60: sha256 for time, sha256 in inputs.items()}
    for part in parts_of(rows):
        table = rows[part.split].slice(part.start, part.count)
        tiles = _digest_of_tiles(table, by_minute)
        for name in part.arrays:
            digests[part.shard(name)] = _both(tiles, choices[name])
    return digests


def kept_digests(
    snapshot: Path,
    rows: Mapping[str, pa.Table],
    choices: Mapping[str, Any],
    kept: Collection[str],
) -> dict[str, str]:
    """Return the digests of the shards of a snapshot that takes its tiles from another one.

    Parameters
    ----------
    snapshot : Path
        The published snapshot whose tiles are taken.
    rows : mapping of str to pyarrow.Table
        The samples of every split, the same in both.
    choices : mapping of str to object
        As for `shard_digests`.
    kept : collection of str
        The arrays that are linked from the snapshot: theirs is what it was there.
    """
    records, digests = read_manifest(snapshot), {}
    for part in parts_of(rows):
        of_tiles = records[part.shard("rain_rate")].decided_by
        for name in part.arrays if of_tiles is not None else ():
            shard = part.shard(name)
            known = records[shard].decided_by if name in kept else None
            tiles = (of_tiles or "").partition(_BETWEEN)[0]
            digests[shard] = known or _both(tiles, choices[name])
    return digests


def _both(tiles: str, choices: Any) -> str:
    return f"{tiles}{_BETWEEN}{digest(choices)}"


def _digest_of_tiles(table: pa.Table, by_minute: Mapping[int, str]) -> str:
    times = minutes(table)
    found = hashlib.sha256()
    for values in (times, table["row"].to_numpy(), table["column"].to_numpy()):
        found.update(values.astype("<i8").tobytes())
    for time in np.unique(times).tolist():
        found.update(by_minute[time].encode())
    return found.hexdigest()


def link_shards(paths: StorePaths, staging: Path) -> Linked:
    """Link the missing shards of a snapshot that earlier snapshots hold, as far as they do.

    A file is taken if it has the size and the digest with which it was published. Where files
    cannot be linked (another file system, another owner), it is copied.

    Parameters
    ----------
    paths : StorePaths
    staging : Path
        The folder in which the snapshot grows.
    """
    wanted: dict[str, list[str]] = {}
    for shard, decided_by in shards_of(staging).items():
        if decided_by is not None and marked(staging, shard) is None:
            wanted.setdefault(decided_by, []).append(shard)
    linked, damaged = [], []
    for source, record in _published_shards(paths):
        # Taken out, and put back if it was of no use: another snapshot may hold it, too.
        missing = wanted.pop(record.decided_by or "", [])
        useless = [shard for shard in missing if not _place(source, staging, shard, record)]
        linked += [shard for shard in missing if shard not in useless]
        if useless:
            wanted[record.decided_by or ""] = useless
            damaged.append(source)
    return Linked(frozenset(linked), tuple(damaged))


def link_shard(staging: Path, shard: str, snapshot: Path) -> None:
    """Take a shard over from a published snapshot, in which it has the same path.

    Parameters
    ----------
    staging : Path
        The folder in which the snapshot grows.
    shard : str
        Its path in both.
    snapshot : Path
        The published snapshot.

    Raises
    ------
    StoreError
        If it is not as it was published.
    """
    record = read_manifest(snapshot)[shard]
    if not _place(snapshot / shard, staging, shard, record):
        raise StoreError(
            "a shard is not as it was published",
            where=snapshot / shard,
            hint="see `minkgen verify`; another snapshot may have the tiles (--from)",
        )


def _published_shards(paths: StorePaths) -> Iterator[tuple[Path, FileRecord]]:
    for snapshot in sorted(paths.features.glob("[!.]*.zarr")):
        try:
            records = read_manifest(snapshot)
        except StoreError:  # removed since it was listed, or damaged: `minkgen verify` tells
            continue
        for name, record in records.items():
            if record.decided_by is not None:
                yield snapshot / name, record


def _place(source: Path, staging: Path, shard: str, record: FileRecord) -> bool:
    """Link or copy a shard and mark it, if it is as it was published."""
    target = staging / shard
    partial = target.with_name(f".{target.name}.{uuid4().hex}.partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        try:
            os.link(source, partial)
        except OSError:
            shutil.copyfile(source, partial)
        partial.replace(target)
    except FileNotFoundError:
        return False
    finally:
        partial.unlink(missing_ok=True)
    if mark(staging, shard, record):
        return True
    target.unlink()
    return False
