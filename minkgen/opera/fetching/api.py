"""The Open Radar Data API (OGC EDR): links to the composites of the last 24 hours."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from urllib.parse import unquote, urlencode, urljoin, urlsplit

from minkgen.errors import InputError, SourceError, TransferError
from minkgen.opera.fetching.archive import PUBLIC_ENDPOINT, utc_now
from minkgen.opera.fetching.download import download
from minkgen.opera.fetching.headers import origin
from minkgen.opera.fetching.http import TransferPolicy, client_for
from minkgen.opera.fetching.sources import Fetched, Listed, choose_by_time
from minkgen.opera.keys import parse_key

__all__ = ["API_KEY_VARIABLE", "ApiSource", "file_links", "listed_link"]

API_KEY_VARIABLE = "MINKGEN_ORD_APIKEY"

_ENDPOINT = "https://api.meteogate.eu/eu-eumetnet-weather-radar"
_LOCATION = "/collections/observations/locations/0-20010-0-OPERA"
_ACCEPT = "application/prs.coverage+json, application/json"
_FILE_TYPE = "application/x-odim"
_LARGEST_DOCUMENT_BYTES = 8 * 1024**2
_HELD = timedelta(hours=24)
# The API goes by the begin of a file's window, up to an hour before the nominal time that names it,
# so what it forgets first is nominally 23 hours old; another hour for the time of a run.
_SURELY_HELD = timedelta(hours=22)
# Asked for at once, with an overlap on both sides that makes up for the hour above and for interval
# ends that are included at one time and not at another; the day's own window is cut out here.
_PIECE = timedelta(hours=12)
_OVERLAP = timedelta(minutes=90)


@dataclass(frozen=True)
class ApiSource:
    """The composites that the Open Radar Data API links to.

    The key in the environment variable MINKGEN_ORD_APIKEY, where there is one, goes to the API's
    own host and nowhere else.

    Attributes
    ----------
    endpoint : str
        Web address of the API.
    policy : TransferPolicy
        For the API, and for every server that holds files.
    file_endpoints : tuple of str
        Web addresses whose servers may hold files, besides the API's own.
    clock : callable
        Returns the time, in UTC.
    """

    endpoint: str = _ENDPOINT
    policy: TransferPolicy = field(default_factory=TransferPolicy)
    file_endpoints: tuple[str, ...] = (PUBLIC_ENDPOINT,)
    clock: Callable[[], datetime] = field(default=utc_now, repr=False)

    def check(self) -> None:
        """Refuse addresses that are none, a key that cannot be sent, an API that does not answer.

        Raises
        ------
        SourceError
            If an address is malformed, or the answer is not understood.
        InputError
            If the key cannot be sent in a header.
        TransferError
            If the API does not answer.
        """
        for address in (self.endpoint, *self.file_endpoints):
            if origin(address) is None or not re.fullmatch(r"[!-~]+", address):
                raise SourceError("not a web address", where="source.endpoint", got=repr(address))
        now = self.clock()
        self._links(now - timedelta(hours=1), now, "RATE")

    def list_day(self, day: date, quantity: str = "RATE") -> dict[datetime, Listed]:
        """Return the files of a day that the API still links to, by nominal time.

        Of two names of a product the younger is taken (`choose_by_time`). Links of another type,
        to other files, or of other quantities are not looked at. A document that links a composite
        on a server that is not in `file_endpoints` is refused as a whole. The lengths that links
        give are not to be trusted, and left out.

        Parameters
        ----------
        day : date
            UTC day.
        quantity : str, optional
            ODIM quantity.

        Returns
        -------
        dict of datetime to Listed
            What it lacks may be too old for the API: see `can_tell_absence`.

        Raises
        ------
        TransferError
            If a document could not be had, or the API holds nothing of this day any more.
        SourceError
            If a document is malformed.
        """
        now = self.clock()
        begin = datetime.combine(day, time(), UTC)
        if begin + timedelta(days=1) <= now - _HELD:
            raise TransferError(
                "the API no longer holds this day",
                where=day,
                expected="a time within the last 24 hours",
                hint="older composites are in the archive: take it as the source",
            )
        files = [
            listed
            for start in (begin, begin + _PIECE)
            if start + _PIECE > now - _HELD and start <= now
            for listed in self._files(start - _OVERLAP, start + _PIECE + _OVERLAP, quantity)
        ]
        return choose_by_time(files, day, quantity)

    def can_tell_absence(self, time: datetime) -> bool:
        """Return whether a time is young enough for the API to hold its composite."""
        return time >= self.clock() - _SURELY_HELD

    def fetch(self, listed: Listed, folder: Path) -> Fetched:
        """Download a listed file: see `minkgen.opera.fetching.download.download`."""
        client = client_for(self.policy, listed.url)
        return download(client, listed, folder, self._key_header(listed.url))

    def _files(self, start: datetime, end: datetime, quantity: str) -> Iterator[Listed]:
        """Yield the files of an interval, with or without those at its ends."""
        url, links = self._links(start, end, quantity)
        allowed = {origin(address) for address in (self.endpoint, *self.file_endpoints)}
        for link in links:
            listed = listed_link(link, url, quantity)
            if listed is None:
                continue
            if origin(listed.url) not in allowed:
                raise SourceError(
                    "the API links to a server that is not known to hold files",
                    where=url,
                    got=listed.url,
                    expected="one of " + ", ".join((self.endpoint, *self.file_endpoints)),
                )
            yield listed

    def _links(self, start: datetime, end: datetime, quantity: str) -> tuple[str, list[str]]:
        """Return the address of a document, and the links to files in it."""
        query = {
            "datetime": f"{start:%Y-%m-%dT%H:%MZ}/{end:%Y-%m-%dT%H:%MZ}",
            "standard_name": quantity,
            "format": "ODIM",
            "method": "comp",
            "f": "CoverageJSON",
        }
        url = f"{self.endpoint.rstrip('/')}{_LOCATION}?{urlencode(query)}"
        document = client_for(self.policy, url).get(
            url,
            largest_bytes=_LARGEST_DOCUMENT_BYTES,
            headers={"Accept": _ACCEPT, **self._key_header(url)},
            expect=(200, 204),
        )
        return url, [] if document.status == 204 else file_links(document.content, url)

    def _key_header(self, url: str) -> dict[str, str]:
        key = os.environ.get(API_KEY_VARIABLE)
        if not key or origin(url) != origin(self.endpoint):
            return {}
        if not re.fullmatch(r"[!-~]{1,500}", key):
            raise InputError(
                "the key cannot be sent in a header",
                where=f"environment variable {API_KEY_VARIABLE}",
                expected="visible ASCII characters, without spaces or line ends",
            )
        return {"apikey": key}


def file_links(content: bytes, where: object = None) -> list[str]:
    """Return the links to ODIM files in a Coverage or a CoverageCollection, in its order.

    Parameters
    ----------
    content : bytes
        The JSON document.
    where : object, optional
        Where it comes from, for error messages.

    Returns
    -------
    list of str

    Raises
    ------
    SourceError
        If it is no such document.

    Examples
    --------
    >>> link = b'{"href": "https://example.org/a.h5", "type": "application/x-odim", "length": 0}'
    >>> file_links(b'{"type": "Coverage", "links": [' + link + b']}')
    ['https://example.org/a.h5']
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _no_coverage(where, str(error)) from error
    if not isinstance(document, dict) or document.get("type") not in _COVERAGES:
        raise _no_coverage(where, "another kind of document")
    parts = [document, *_list_in(document, "coverages", where)]
    links = [link for part in parts for link in _list_in(part, "links", where)]
    addresses = [link.get("href") for link in links if link.get("type") == _FILE_TYPE]
    return [address for address in addresses if isinstance(address, str)]


_COVERAGES = ("Coverage", "CoverageCollection")


def _list_in(part: dict[str, object], name: str, where: object) -> list[dict[str, object]]:
    members = part.get(name, [])
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        raise _no_coverage(where, f"{name!r} that is no list of objects")
    return members


def _no_coverage(where: object, got: object) -> SourceError:
    expected = "a CoverageJSON document: " + " or ".join(_COVERAGES)
    return SourceError("the answer is not understood", where=where, got=got, expected=expected)


def listed_link(link: str, base: str, quantity: str) -> Listed | None:
    """Return the composite that a link leads to; None if it leads elsewhere.

    Parameters
    ----------
    link : str
        As the document has it.
    base : str
        Address of the document.
    quantity : str
        ODIM quantity.

    Returns
    -------
    Listed or None
        Its key is that of the file's name.

    Raises
    ------
    SourceError
        If the link is malformed.

    Examples
    --------
    >>> base = "https://example.org/openradar-24h/2024/11/26/OPERA/COMP/"
    >>> listed_link("OPERA@20241126T0200@0@RATE.h5", base, "RATE").key.time.isoformat()
    '2024-11-26T02:00:00+00:00'
    >>> listed_link("OPERA@20241126T0200@0@DBZH.h5", base, "RATE") is None
    True
    """
    malformed = SourceError("a link is malformed", where=base, got=repr(link[:200]))
    if not re.fullmatch(r"[!-~]{1,2000}", link):
        raise malformed
    try:
        path = unquote(urlsplit(link).path)
        url = urljoin(base, link)
    except ValueError as error:
        raise malformed from error
    try:
        key = parse_key(path)
    except SourceError:
        return None
    if key.quantity != quantity:
        return None
    if {".", ".."} & set(path.split("/")):
        raise malformed
    return Listed(key, url)
