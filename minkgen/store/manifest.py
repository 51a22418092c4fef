"""What a snapshot consists of, file by file: marks while it grows, `parts.json` when it is whole.

A shard that was written, flushed and measured gets a mark: a small file beside the staging folder
that holds its size and digest. A shard without its mark, or of another size, counts as unwritten: a
node that dies may leave files with a name and without their data. When all marks are there, they
become `parts.json` in the snapshot, together with the sizes and digests of all other files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minkgen.errors import StoreError
from minkgen.store.files import fsync, read_json, sha256_of, write_json

__all__ = [
    "MANIFEST",
    "FileRecord",
    "begin_marks",
    "faults_of",
    "mark",
    "marked",
    "marks_folder",
    "read_manifest",
    "require_whole",
    "shards_of",
    "write_manifest",
]

MANIFEST = "parts.json"
_SHARDS = "shards.json"


@dataclass(frozen=True)
class FileRecord:
    """A file of a snapshot.

    Attributes
    ----------
    size : int
        Bytes.
    sha256 : str
    decided_by : str or None
        Of a shard: the digest of everything that decides its bytes. Shards of the same are the
        same, and are shared between snapshots.
    """

    size: int
    sha256: str
    decided_by: str | None = None


def marks_folder(staging: Path) -> Path:
    """Return the folder of the marks of a snapshot that grows."""
    return staging.with_suffix(".parts")


def begin_marks(staging: Path, shards: Mapping[str, str | None]) -> None:
    """Note which shards a snapshot will have, by their paths, and what decides each of them."""
    write_json(marks_folder(staging) / _SHARDS, dict(shards))


def shards_of(staging: Path) -> dict[str, str | None]:
    """Return which shards a snapshot that grows will have, and what decides each of them."""
    shards: dict[str, str | None] = read_json(marks_folder(staging) / _SHARDS)
    return shards


def mark(staging: Path, shard: str, expected: FileRecord | None = None) -> bool:
    """Flush and measure a shard in its place, and mark it as written.

    Parameters
    ----------
    staging : Path
    shard : str
        Its path in the snapshot.
    expected : FileRecord, optional
        What it must be like.

    Returns
    -------
    bool
        Whether it is as expected; there is no mark if not.
    """
    fsync(staging / shard)
    record = _measure(staging / shard)
    if expected is not None and (record.size, record.sha256) != (expected.size, expected.sha256):
        return False
    write_json(_mark(staging, shard), {"size": record.size, "sha256": record.sha256})
    return True


def marked(staging: Path, shard: str) -> FileRecord | None:
    """Return the record of a shard that is in place and marked, or None."""
    try:
        record = FileRecord(**read_json(_mark(staging, shard)))
        size = (staging / shard).stat().st_size
    except FileNotFoundError:
        return None
    return record if record.size == size else None


def _mark(staging: Path, shard: str) -> Path:
    return marks_folder(staging) / f"{shard.replace('/', '.')}.json"


def _measure(path: Path) -> FileRecord:
    return FileRecord(path.stat().st_size, sha256_of(path))


def write_manifest(staging: Path) -> None:
    """Write `parts.json` into a snapshot, if all its shards are there.

    Raises
    ------
    StoreError
        If a shard is missing.
    """
    shards = shards_of(staging)
    records = {shard: marked(staging, shard) for shard in shards}
    missing = [shard for shard, record in records.items() if record is None]
    if missing:
        raise StoreError(
            "the snapshot is incomplete and is not published",
            where=staging,
            got=f"{len(missing)} missing shards, the first {missing[0]}",
            hint="run the same command again: finished parts are kept",
        )
    files = {shard: asdict(record) for shard, record in records.items() if record is not None}
    for shard, decided_by in shards.items():
        files[shard]["decided_by"] = decided_by
    for path in _files(staging):
        if path not in files and path != MANIFEST:
            record = _measure(staging / path)
            files[path] = {"size": record.size, "sha256": record.sha256}
    write_json(staging / MANIFEST, {"files": files})


def _files(root: Path) -> Iterator[str]:
    for folder, _, names in os.walk(root):
        for name in names:
            yield Path(folder, name).relative_to(root).as_posix()


def read_manifest(snapshot: Path) -> dict[str, FileRecord]:
    """Return the records of all files of a snapshot, by their paths.

    Raises
    ------
    StoreError
        If the snapshot has no such list, or it is damaged.
    """
    path = snapshot / MANIFEST
    try:
        content: Any = read_json(path)
    except FileNotFoundError as error:
        raise StoreError(
            "the snapshot has no list of its files", where=path, hint="compute it again"
        ) from error
    try:
        return {name: FileRecord(**record) for name, record in content["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            "a file of the store is damaged",
            where=path,
            got=error,
            hint="restore it from a copy, or compute the snapshot again",
        ) from error


def faults_of(snapshot: Path, *, digests: bool) -> list[str]:
    """Return which files of a published snapshot are missing or have changed.

    Parameters
    ----------
    snapshot : Path
    digests : bool
        Read every file; otherwise sizes alone are compared, which takes no time.
    """
    faults = []
    for name, record in read_manifest(snapshot).items():
        path = snapshot / name
        if not path.is_file():
            faults.append(f"{name} is missing")
        elif path.stat().st_size != record.size:
            faults.append(f"{name} has {path.stat().st_size} bytes instead of {record.size}")
        elif digests and sha256_of(path) != record.sha256:
            faults.append(f"{name} has another SHA-256 than when it was published")
    return faults


def require_whole(snapshot: Path, *, digests: bool) -> None:
    """Refuse a published snapshot that is not as it was published.

    Raises
    ------
    StoreError
    """
    faults = faults_of(snapshot, digests=digests)
    if faults:
        raise StoreError(
            "the snapshot is damaged",
            where=snapshot,
            got=f"{len(faults)} faults, the first: {faults[0]}",
            hint="switch to another one (`minkgen store rollback`), remove this one and compute "
            "it again",
        )
