"""A folder behind a URL, for reading: what fsspec can open, for example `s3://bucket/store`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from zarr.storage import FsspecStore

from minkgen.errors import StoreError

__all__ = ["RemoteFolder"]


@dataclass(frozen=True)
class RemoteFolder:
    """A folder behind a URL. It holds no connection, so that it can go to other processes.

    Parameters
    ----------
    url : str
        Without a slash at the end.
    options : mapping
        What the file system needs, for example `endpoint_url`, `key` and `secret` of S3. Never
        shown, since it may hold a secret.
    """

    url: str
    options: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> RemoteFolder:
        return RemoteFolder(f"{self.url}/{name}", self.options)

    def zarr_store(self) -> FsspecStore:
        """Return the folder as a store that zarr reads.

        Raises
        ------
        StoreError
            If the file system cannot be had.
        """
        with self._errors():
            return FsspecStore.from_url(
                self.url, storage_options=dict(self.options), read_only=True
            )

    def names(self) -> list[str]:
        """Return the names of the files and folders in this one, none if it does not exist.

        Raises
        ------
        StoreError
            If the server refuses.
        """
        files, path = self._opened()
        with self._errors():
            try:
                found = files.ls(path, detail=False)
            except FileNotFoundError:
                return []
        return sorted(str(name).rstrip("/").rpartition("/")[2] for name in found)

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None if there is no such file.

        Raises
        ------
        StoreError
            If the server refuses.
        """
        files, path = self._opened()
        with self._errors():
            try:
                content: bytes = files.cat_file(f"{path}/{name}")
            except FileNotFoundError:
                return None
        return content

    def read_ranges(self, ranges: Sequence[tuple[str, int, int | None]]) -> list[bytes]:
        """Return ranges of bytes of files, many at once.

        Parameters
        ----------
        ranges : sequence of (name, start, stop)
            As of a slice: a negative start counts from the end.

        Raises
        ------
        StoreError
            If one of them cannot be read.
        """
        names, starts, stops = ([part[place] for part in ranges] for place in range(3))
        files, path = self._opened()
        paths = [f"{path}/{name}" for name in names]
        with self._errors():
            parts: list[bytes] = files.cat_ranges(paths, starts, stops, on_error="raise")
        return parts

    def _opened(self) -> tuple[Any, str]:
        """Return the file system, which fsspec keeps by process, and the folder's path in it."""
        try:
            import fsspec

            files, path = fsspec.url_to_fs(self.url, **self.options)
        except (ImportError, ValueError) as error:
            raise StoreError(
                "this kind of URL cannot be read here",
                where=self.url,
                got=error,
                hint="for s3:// install minkgen[remote], for others what fsspec asks for",
            ) from error
        return files, path

    @contextmanager
    def _errors(self) -> Iterator[None]:
        # What botocore raises is no child of a builtin error; where it is not loaded, it is not
        # raised either.
        botocore = sys.modules.get("botocore.exceptions")
        refusals = (OSError, *([botocore.BotoCoreError] if botocore else []))
        try:
            yield
        except refusals as error:
            raise StoreError(
                "the store cannot be read",
                where=self.url,
                got=f"{type(error).__name__}: {error}",
                hint="check the URL, the endpoint and the credentials in `storage_options`",
            ) from error
