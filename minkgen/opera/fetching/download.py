"""One file from a server: resumed, bounded, digested; whole on the disk, or not there at all."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import requests

from minkgen.errors import SourceError
from minkgen.opera.fetching.headers import strong_etag
from minkgen.opera.fetching.http import Client, InterruptedTransferError
from minkgen.opera.fetching.sources import Fetched, Listed

__all__ = ["download"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15}|\*)")


def download(
    client: Client, listed: Listed, folder: Path, headers: Mapping[str, str] | None = None
) -> Fetched:
    """Bring a listed file into a folder, under a temporary name that ends in `.part`.

    A body that breaks off is resumed with `Range` and `If-Range` where the server gave a strong
    entity tag, and begun anew where it gave none, or where the file has changed meanwhile. The
    listed size bounds the body and has to be met; `Content-Length` stands in where none is listed.
    What comes must begin like HDF5. Whatever goes wrong, nothing is left in the folder.

    Parameters
    ----------
    client : Client
    listed : Listed
    folder : Path
        A folder that is there.
    headers : mapping, optional
        To be sent with every request.

    Returns
    -------
    Fetched
        Flushed to the disk; its entity tag is that of the response.

    Raises
    ------
    TransferError
        If it could not be had.
    SourceError
        If it is longer than listed or than the policy allows, or no HDF5.
    """
    path = folder / f".{listed.key.filename}.{uuid4().hex}.part"
    with ExitStack() as removal:
        removal.callback(path.unlink, missing_ok=True)
        with path.open("xb") as stream:
            part = _Part(stream, listed, client.policy.largest_file_bytes)
            client.retry(lambda: _attempt(client, part, headers or {}), listed.url)
            part.finish()
        removal.pop_all()
    return Fetched(path, part.have, part.digest.hexdigest(), part.etag, temporary=True)


class _Part:
    """A file on its way: the bytes so far, and what they are a part of."""

    def __init__(self, stream: BinaryIO, listed: Listed, largest: int) -> None:
        self.stream = stream
        self.listed = listed
        self.largest = largest
        self.begin(None, listed.size)

    def begin(self, etag: str | None, size: int | None) -> None:
        """Forget the bytes so far, and expect others."""
        self.stream.seek(0)
        self.stream.truncate()
        self.have = 0
        self.beginning = b""
        self.digest = hashlib.sha256()
        self.etag = etag
        self.size = size
        if size is not None and size > self.largest:
            raise SourceError(
                "the file is longer than any composite",
                where=self.listed.url,
                got=f"{size} bytes",
                expected=f"at most {self.largest}",
            )

    @property
    def missing(self) -> int:
        """Bytes to come; where the size is not known, as many as there may be."""
        return (self.largest if self.size is None else self.size) - self.have

    @property
    def is_complete(self) -> bool:
        return self.have == self.size

    def add(self, piece: bytes) -> None:
        """Append bytes, refusing any beyond the expected ones."""
        if len(piece) > self.missing:
            raise SourceError(
                "the file is longer than it should be",
                where=self.listed.url,
                expected=f"{self.have + self.missing} bytes",
            )
        self.beginning = (self.beginning + piece)[: len(_SIGNATURE)]
        if not _SIGNATURE.startswith(self.beginning):
            raise self._no_hdf5()
        self.stream.write(piece)
        self.digest.update(piece)
        self.have += len(piece)

    def finish(self) -> None:
        """Refuse a file without a signature, and flush the others to the disk."""
        if self.beginning != _SIGNATURE:
            raise self._no_hdf5()
        self.stream.flush()
        os.fsync(self.stream.fileno())

    def _no_hdf5(self) -> SourceError:
        return SourceError(
            "the file is not HDF5",
            where=self.listed.url,
            got=f"a beginning of {self.beginning!r}",
            expected=repr(_SIGNATURE),
        )


def _attempt(client: Client, part: _Part, headers: Mapping[str, str]) -> None:
    """Make one request for the bytes that are missing."""
    url = part.listed.url
    if part.have and part.etag:
        resume = {"Range": f"bytes={part.have}-", "If-Range": part.etag}
        request = client.open(url, headers={**headers, **resume}, expect=(200, 206, 416))
    else:
        request = client.open(url, headers=headers, expect=(200,))
    with request as response:
        _place(part, response)
        try:
            for piece in client.stream(response, part.missing):
                part.add(piece)
        except InterruptedTransferError:
            # A server may announce more than it has, and then break off or fall silent.
            if not part.is_complete:
                raise
    if part.size is not None and not part.is_complete:
        raise InterruptedTransferError(
            "the file broke off", where=url, got=f"{part.have} of {part.size} bytes"
        )


def _place(part: _Part, response: requests.Response) -> None:
    """Decide where the body of a response belongs: at the end of what is there, or in its place."""
    if response.status_code == 200:
        size = part.listed.size
        announced = response.headers.get("Content-Length", "")
        if size is None and re.fullmatch("[0-9]{1,15}", announced):
            size = int(announced)
        part.begin(strong_etag(response.headers.get("ETag")), size)
        return
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    fits = (
        response.status_code == 206
        and match is not None
        and int(match[1]) == part.have
        and (match[2] == "*" or part.size in (None, int(match[2])))
        and response.headers.get("ETag", part.etag) == part.etag
    )
    if not fits:
        part.begin(None, part.listed.size)
        raise InterruptedTransferError("the file has changed on the way", where=part.listed.url)
