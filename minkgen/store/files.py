"""Files that are either whole or not there: written aside, flushed to disk, renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from minkgen.errors import StoreError
from minkgen.recipe import canonical_json

__all__ = [
    "explain_os_errors",
    "fsync",
    "fsync_tree",
    "read_json",
    "remove_partials",
    "sha256_of",
    "switch_symlink",
    "write_bytes",
    "write_json",
    "write_table",
]


_NEXT_STEPS = {
    errno.ENOSPC: "free some space and run the same command again: what is finished is kept",
    errno.EDQUOT: "free some of the quota and run the same command again: what is finished is kept",
    errno.EROFS: "the file system is read-only: read from it, or give a store elsewhere (--store)",
    errno.EACCES: "run it as a user who may write here, or give a store elsewhere (--store)",
    errno.EPERM: "run it as a user who may write here, or give a store elsewhere (--store)",
}


@contextmanager
def explain_os_errors(root: Path) -> Iterator[None]:
    """Turn a full disk, a read-only file system and a missing permission into a `StoreError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NEXT_STEPS:
            raise
        raise StoreError(
            "the store cannot be written",
            where=error.filename or root,
            got=error.strerror,
            hint=_NEXT_STEPS[error.errno],
        ) from error


def write_bytes(path: Path, data: bytes, share: Callable[[Path], None] | None = None) -> None:
    """Write a file so that a reader, or a crash, sees the old bytes or the new ones.

    Parameters
    ----------
    path : Path
    data : bytes
    share : callable, optional
        Given the file before it gets its name, to set who may read it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if share is not None:
            share(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    fsync(path.parent)


def remove_partials(path: Path) -> None:
    """Remove what killed writers of a file left beside it, ours and Zarr's.

    Only for the one process that writes the file: another's would be one that is being written.
    """
    for pattern in (f".{path.name}.*.partial", f"{path.stem}.*.partial"):
        for partial in path.parent.glob(pattern):
            partial.unlink(missing_ok=True)


def write_json(
    path: Path,
    value: Any,
    *,
    readable: bool = False,
    share: Callable[[Path], None] | None = None,
) -> None:
    """Write a value as canonical JSON, or indented for people."""
    text = json.dumps(value, indent=2, allow_nan=False) if readable else canonical_json(value)
    write_bytes(path, f"{text}\n".encode(), share)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet."""
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    write_bytes(path, buffer.getvalue().to_pybytes())


def read_json(path: Path) -> Any:
    """Read a JSON file of the store.

    Raises
    ------
    StoreError
        If the file is no valid JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(
            "a file of the store is damaged",
            where=path,
            got=error,
            expected="JSON",
            hint="look for what else is damaged: `minkgen verify STORE`",
        ) from error


def switch_symlink(link: Path, target: str) -> None:
    """Point a symbolic link at a sibling, in one step."""
    partial = link.with_name(f".{link.name}.{uuid4().hex}.partial")
    partial.symlink_to(target)
    partial.replace(link)
    fsync(link.parent)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fsync_tree(root: Path) -> None:
    """Flush every file and folder below a folder to disk, and the folder itself."""
    for folder, _, names in os.walk(root):
        for name in names:
            fsync(Path(folder) / name)
        fsync(Path(folder))


def fsync(path: Path) -> None:
    """Flush a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
