"""A folder behind a URL, for reading: what fsspec can open, for example `s3://bucket/store`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import fsspec
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
        with self._errors():
            files, path = fsspec.url_to_fs(self.url, **self.options)
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
        with self._errors():
            files, path = fsspec.url_to_fs(f"{self.url}/{name}", **self.options)
            try:
                content: bytes = files.cat_file(path)
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
        with self._errors():
            files, path = fsspec.url_to_fs(self.url, **self.options)
            paths = [f"{path}/{name}" for name in names]
            parts: list[bytes] = files.cat_ranges(paths, starts, stops, on_error="raise")
        return parts

    @contextmanager
    def _errors(self) -> Iterator[None]:
        # What botocore raises is no child of a builtin error; where it is not loaded, it is not
        # raised either.
        botocore = sys.modules.get("botocore.exceptions")
        refusals = (OSError, *([botocore.BotoCoreError] if botocore else []))
        try:
            yield
        except ImportError as error:
            raise StoreError(
                "reading this kind of URL needs another package",
                where=self.url,
                got=error,
                hint="pip install 'minkgen[remote]'",
            ) from error
        except refusals as error:
            raise StoreError(
                "the store cannot be read",
                where=self.url,
                got=f"{type(error).__name__}: {error}",
                hint="check the URL, the endpoint and the credentials in `storage_options`",
            ) from error
