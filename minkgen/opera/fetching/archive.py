"""The public archive, or a copy of it: anonymous listings and files of an S3-style endpoint."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode

from minkgen.errors import SourceError
from minkgen.opera.fetching.download import download
from minkgen.opera.fetching.headers import origin, strong_etag
from minkgen.opera.fetching.http import Client, TransferPolicy, client_for
from minkgen.opera.fetching.sources import Fetched, Listed, choose_by_time
from minkgen.opera.keys import day_prefix, parse_key

__all__ = ["PUBLIC_ENDPOINT", "ArchiveSource", "ListingPage", "parse_listing", "utc_now"]

PUBLIC_ENDPOINT = "https://s3.waw3-1.cloudferro.com"

# A page holds at most 1000 keys (measured: 0.4 MB), a day about 500.
_LARGEST_PAGE_BYTES = 4 * 1024**2
_MOST_PAGES = 20
# The recent bucket holds the last 24 hours; another day for files that reach the archive late.
_RECENT = timedelta(hours=48)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class ArchiveSource:
    """Two buckets at an S3-style endpoint, read anonymously over plain HTTP GET.

    A day that ended more than 48 hours ago is listed in the archive's bucket only. For younger days
    both buckets are listed, the recent one first, so that a file that moves between the two
    requests is seen in one of them. A file that is in both is taken from the archive.

    Attributes
    ----------
    endpoint : str
        Web address without the bucket (path style).
    policy : TransferPolicy
    archive_bucket, recent_bucket : str
        The buckets of all but the last day, and of the last day.
    clock : callable
        Returns the time, in UTC.
    """

    endpoint: str = PUBLIC_ENDPOINT
    policy: TransferPolicy = field(default_factory=TransferPolicy)
    archive_bucket: str = "openradar-archive"
    recent_bucket: str = "openradar-24h"
    clock: Callable[[], datetime] = field(default=utc_now, repr=False)

    def check(self) -> None:
        """Refuse an endpoint that is no web address, or does not list the archive's bucket.

        Raises
        ------
        SourceError
            If the endpoint or a bucket's name is malformed, or the answer is no listing.
        TransferError
            If the listing could not be had.
        """
        if origin(self.endpoint) is None or not re.fullmatch(r"[!-~]+", self.endpoint):
            raise SourceError(
                "the endpoint is no web address",
                where="source.endpoint",
                got=repr(self.endpoint),
                expected=f"such as {PUBLIC_ENDPOINT}",
            )
        for bucket in (self.archive_bucket, self.recent_bucket):
            if not _BUCKET.fullmatch(bucket):
                raise SourceError("not the name of a bucket", where="source", got=repr(bucket))
        self._page(self.archive_bucket, {"max-keys": "1"})

    def list_day(self, day: date, quantity: str = "RATE") -> dict[datetime, Listed]:
        """Return the files of a day by nominal time.

        Of two names of a product the younger is taken (`choose_by_time`). Keys outside the
        archive's grammar, or in a folder that is not theirs, are not looked at. A listing with a
        key outside the prefix that was asked for, or with `..` in it, is refused as a whole.

        Parameters
        ----------
        day : date
            UTC day.
        quantity : str, optional
            ODIM quantity.

        Returns
        -------
        dict of datetime to Listed
            Empty if the archive has nothing of this day.

        Raises
        ------
        TransferError
            If a listing could not be had.
        SourceError
            If a listing is malformed, or never ends.
        """
        end = datetime.combine(day + timedelta(days=1), time(), UTC)
        is_recent = self.clock() - end < _RECENT
        recent = list(self._files(self.recent_bucket, day)) if is_recent else []
        return choose_by_time([*self._files(self.archive_bucket, day), *recent], day, quantity)

    def can_tell_absence(self, time: datetime) -> bool:
        """Return True: what neither bucket lists is absent."""
        return True

    def fetch(self, listed: Listed, folder: Path) -> Fetched:
        """Download a listed file: see `minkgen.opera.fetching.download.download`."""
        return download(self._client(), listed, folder)

    def _client(self) -> Client:
        return client_for(self.policy, self.endpoint)

    def _address(self, bucket: str) -> str:
        return f"{self.endpoint.rstrip('/')}/{bucket}/"

    def _page(self, bucket: str, query: dict[str, str]) -> ListingPage:
        url = f"{self._address(bucket)}?{urlencode({'list-type': '2', **query})}"
        document = self._client().get(url, largest_bytes=_LARGEST_PAGE_BYTES)
        return parse_listing(document.content, url)

    def _files(self, bucket: str, day: date) -> Iterator[Listed]:
        prefix, address = day_prefix(day), self._address(bucket)
        query, tokens = {"prefix": prefix}, set[str]()
        while True:
            page = self._page(bucket, query)
            for entry in page.entries:
                listed = _listed(entry, prefix, address)
                if listed is not None:
                    yield listed
            if page.token is None:
                return
            tokens.add(page.token)
            if page.token == query.get("continuation-token") or len(tokens) >= _MOST_PAGES:
                raise SourceError(
                    "the listing of a day does not end",
                    where=address + prefix,
                    expected=f"at most {_MOST_PAGES} pages, each with a token of its own",
                )
            query = {"prefix": prefix, "continuation-token": page.token}


class ListingEntry(NamedTuple):
    """One object of a listing, as the server describes it."""

    key: str
    size: int | None
    etag: str | None


class ListingPage(NamedTuple):
    """One page of a listing; the token asks for the next one."""

    entries: list[ListingEntry]
    token: str | None


class _WithoutDoctype(ElementTree.TreeBuilder):
    """Builds no tree of a document that declares entities: none of ours does."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ElementTree.ParseError("a document type is declared")


def parse_listing(content: bytes, where: object = None) -> ListingPage:
    """Read one page of ListObjectsV2.

    Parameters
    ----------
    content : bytes
        The XML document.
    where : object, optional
        Where it comes from, for error messages.

    Returns
    -------
    ListingPage

    Raises
    ------
    SourceError
        If it is no such document.

    Examples
    --------
    >>> parse_listing(b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>")
    ListingPage(entries=[ListingEntry(key='a', size=None, etag=None)], token=None)
    """
    parser = ElementTree.XMLParser(target=_WithoutDoctype())  # noqa: S314 - refuses entities
    try:
        root = ElementTree.fromstring(content, parser)  # noqa: S314
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise _no_listing(where, str(error)) from error
    if root.tag.rpartition("}")[2] != "ListBucketResult":
        raise _no_listing(where, repr(root.tag[:100]))
    entries = [_entry(element, where) for element in root.findall("{*}Contents")]
    token = root.findtext("{*}NextContinuationToken")
    if root.findtext("{*}IsTruncated", "false").strip() != "true":
        return ListingPage(entries, None)
    if not token:
        raise _no_listing(where, "a page that is not the last, without a token")
    return ListingPage(entries, token)


def _entry(element: ElementTree.Element, where: object) -> ListingEntry:
    key, size = element.findtext("{*}Key"), element.findtext("{*}Size")
    if not key:
        raise _no_listing(where, "an object without a key")
    if size is not None and not re.fullmatch("[0-9]{1,15}", size):
        raise _no_listing(where, f"a size of {size[:100]!r}")
    etag = strong_etag(element.findtext("{*}ETag"))
    return ListingEntry(key, None if size is None else int(size), etag)


def _no_listing(where: object, got: object) -> SourceError:
    return SourceError(
        "the answer is no listing", where=where, got=got, expected="a ListBucketResult"
    )


def _listed(entry: ListingEntry, prefix: str, address: str) -> Listed | None:
    """Return a file of the archive; None for other objects below the prefix."""
    if not entry.key.startswith(prefix) or {".", ".."} & set(entry.key.split("/")):
        raise SourceError(
            "the listing holds a key that was not asked for",
            where=address,
            got=repr(entry.key[:200]),
            expected=f"keys below {prefix}",
        )
    try:
        key = parse_key(entry.key)
    except SourceError:
        return None
    if key.path != entry.key:
        return None
    return Listed(key, address + quote(key.path, safe="/@"), entry.size, entry.etag)
