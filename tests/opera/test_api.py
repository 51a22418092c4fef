"""The Open Radar Data API: a double that answers documents of its shapes, and of wrong ones."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from minkgen.errors import InputError, MinkgenError, SourceError, TransferError
from minkgen.opera.fetching.api import API_KEY_VARIABLE, ApiSource, file_links, listed_link
from minkgen.opera.keys import ArchiveKey
from tests.opera.servers import HTML_503, SIGNATURE, SWIFT, Handler, Server, reply, serve_file

NOW = datetime(2024, 11, 26, 14, 7, tzinfo=UTC)
TODAY, YESTERDAY = NOW.date(), NOW.date() - timedelta(days=1)
QUARTER = timedelta(minutes=15)
KEY = "a-key-that-nobody-may-see"
Json = dict[str, Any]


def now() -> datetime:
    return NOW


def link_to(href: str, media_type: str = "application/x-odim") -> Json:
    # The lengths that the API gives are wrong.
    return {"href": href, "rel": "items", "type": media_type, "length": 17}


def coverage(links: list[Json]) -> Json:
    """Return a Coverage as the API writes them, with placeholders for values."""
    service = link_to("wss://radar.example.org/mqtt", "application/prs.coverage+json")
    return {
        "type": "Coverage",
        "domain": {"type": "Domain", "domainType": "PointSeries", "axes": {"t": {"values": []}}},
        "parameters": {"RATE:comp": {"type": "Parameter"}},
        "ranges": {"RATE:comp": {"type": "NdArray", "shape": [4, 1, 1, 1], "values": [0.0] * 4}},
        "links": [link_to("https://example.org/", "text/html"), service, *links],
    }


def collection(links: list[Json]) -> Json:
    parts = [coverage([link]) for link in links]
    return {"type": "CoverageCollection", "coverages": parts, "links": []}


class Double:
    """Answers intervals of the last 24 hours, sometimes with their ends and sometimes without."""

    def __init__(self, files: Server, shape: Callable[[list[Json]], Json] = coverage) -> None:
        self.files = files
        self.shape = shape
        self.name = "RATE"
        self.asked: list[tuple[datetime, datetime]] = []

    def times(self, start: datetime, end: datetime) -> Iterable[datetime]:
        time = NOW - timedelta(hours=24, minutes=NOW.minute % 15)
        including_ends = len(self.asked) % 2
        while (time := time + QUARTER) <= NOW:
            if start < time < end or (including_ends and time in (start, end)):
                yield time

    def __call__(self, handler: Handler) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        start, end = (
            datetime.strptime(text, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)
            for text in query["datetime"][0].split("/")
        )
        keys = [ArchiveKey(time, self.name) for time in self.times(start, end)]
        self.asked.append((start, end))
        if not keys:
            reply(204)(handler)
            return
        links = [link_to(f"{self.files.url}/openradar-24h/{key.path}") for key in keys]
        reply(200, json.dumps(self.shape(links)).encode())(handler)


@pytest.fixture
def source(server: Server, other_server: Server) -> ApiSource:
    """Return a source whose API is one server and whose files are on another."""
    return ApiSource(server.url + "/api", SWIFT, (other_server.url,), clock=now)


@pytest.mark.parametrize("shape", [coverage, collection])
def test_two_days_give_every_file_of_the_last_24_hours_once(
    shape: Callable[[list[Json]], Json], source: ApiSource, server: Server, other_server: Server
) -> None:
    server.respond = double = Double(other_server, shape)
    source.check()
    listings = [source.list_day(day) for day in (YESTERDAY, TODAY)]
    times = [time for listing in listings for time in listing]
    first = datetime(2024, 11, 25, 14, 15, tzinfo=UTC)
    assert times == [first + number * QUARTER for number in range(96)]
    for day, listing in zip((YESTERDAY, TODAY), listings, strict=True):
        for time, listed in listing.items():
            assert time.date() == day
            assert listed.key == ArchiveKey(time, "RATE")
            assert listed.url == f"{other_server.url}/openradar-24h/{listed.key.path}"
            assert (listed.size, listed.etag) == (None, None)
    # The last hour for the check; then halves of days with an overlap, but yesterday's first.
    assert [(end - start) for start, end in double.asked] == [timedelta(hours=1)] + [
        timedelta(hours=15)
    ] * 3
    query = parse_qs(urlsplit(server.seen[-1].path).query)
    assert urlsplit(server.seen[-1].path).path == (
        "/api/collections/observations/locations/0-20010-0-OPERA"
    )
    del query["datetime"]
    assert query == {
        "standard_name": ["RATE"],
        "format": ["ODIM"],
        "method": ["comp"],
        "f": ["CoverageJSON"],
    }


def test_nothing_there_is_an_empty_listing(source: ApiSource, server: Server) -> None:
    server.respond = reply(204)
    assert source.list_day(TODAY) == {}
    assert len(server.seen) == 2
    assert source.list_day(TODAY + timedelta(days=1)) == {}
    assert len(server.seen) == 2


def test_what_the_api_no_longer_holds_is_not_absent(source: ApiSource, server: Server) -> None:
    with pytest.raises(TransferError, match="no longer holds"):
        source.list_day(YESTERDAY - timedelta(days=1))
    assert server.seen == []
    assert source.can_tell_absence(NOW - timedelta(hours=21))
    assert not source.can_tell_absence(NOW - timedelta(hours=23))


def test_503_and_429_are_tried_again(source: ApiSource, server: Server) -> None:
    limit = {"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}
    server.in_turn(HTML_503, reply(429, headers=limit), reply(204), HTML_503, reply(204))
    assert source.list_day(TODAY) == {}
    assert len(server.seen) == 5
    server.respond = HTML_503
    with pytest.raises(TransferError, match="HTTP 503"):
        source.list_day(TODAY)


FOLDER = "/openradar-24h/2024/11/26/OPERA/COMP/"
WANTED = ArchiveKey(datetime(2024, 11, 26, 2, tzinfo=UTC), "RATE")


def test_links_are_chosen_here(source: ApiSource, server: Server, other_server: Server) -> None:
    there = other_server.url + FOLDER
    links = [
        link_to(there + "OPERA@20241126T0200@0@DBZH.h5"),
        link_to(there + "OPERA@20241126T0200@0@RATE.tiff"),
        link_to(there + "OPERA@20241126T0215@0@RATE.h5", "image/tiff"),
        link_to(there + "seang@20241126T0200@0@RATE.h5"),
        link_to("https://elsewhere.example.org/a.h5"),
        {"type": "application/x-odim"},
        {"type": "application/x-odim", "href": 5},
        link_to(there + WANTED.filename.replace("@", "%40")),
        link_to(there + WANTED.filename),
        link_to(there + "OPERA@20241126T0200@0@QIND_RATE.h5"),
    ]
    server.respond = reply(200, json.dumps(coverage(links)).encode())
    listing = source.list_day(TODAY)
    assert [listed.key for listed in listing.values()] == [WANTED]
    assert listing[WANTED.time].url == there + WANTED.filename.replace("@", "%40")


BAD_LINKS = {
    "another host": "https://elsewhere.example.org" + FOLDER + WANTED.filename,
    "another scheme": "https://127.0.0.1:{port}" + FOLDER + WANTED.filename,
    "another port": "http://127.0.0.1:1" + FOLDER + WANTED.filename,
    "a user": "http://me:secret@127.0.0.1:{port}" + FOLDER + WANTED.filename,
    "no web address": "file://" + FOLDER + WANTED.filename,
    "dots": "http://127.0.0.1:{port}/a/../b/" + WANTED.filename,
    "hidden dots": "http://127.0.0.1:{port}/a/%2e%2e/b/" + WANTED.filename,
    "a line end": "http://127.0.0.1:{port}/a\r\nEvil: yes/" + WANTED.filename,
    "a broken host": "http://[/" + WANTED.filename,
    "too long": "http://127.0.0.1:{port}/" + "a" * 5000 + "/" + WANTED.filename,
}


@pytest.mark.parametrize("case", BAD_LINKS)
def test_bad_links_are_refused(
    case: str, source: ApiSource, server: Server, other_server: Server
) -> None:
    link = link_to(BAD_LINKS[case].format(port=other_server.port))
    server.respond = reply(200, json.dumps(coverage([link])).encode())
    with pytest.raises(SourceError, match=r"not known to hold files|a link is malformed"):
        source.list_day(TODAY)


DOCUMENTS = {
    "html": b"<html>sign in</html>",
    "empty": b"",
    "not text": b"\xff\xfe\x00",
    "a list": b"[]",
    "a number": b"1",
    "deep": b"[" * 100_000,
    "an error": b'{"detail": "no such location"}',
    "features": b'{"type": "FeatureCollection", "links": []}',
    "links": b'{"type": "Coverage", "links": {"href": "a"}}',
    "a link": b'{"type": "Coverage", "links": ["a"]}',
    "coverages": b'{"type": "CoverageCollection", "coverages": 5}',
    "a coverage": b'{"type": "CoverageCollection", "coverages": [[]]}',
    "links inside": b'{"type": "CoverageCollection", "coverages": [{"links": null}]}',
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_other_documents_are_no_empty_day(case: str, source: ApiSource, server: Server) -> None:
    server.respond = reply(200, DOCUMENTS[case])
    with pytest.raises(SourceError, match="not understood"):
        source.list_day(TODAY)
    assert len(server.seen) == 1


def test_pure_functions_need_no_server() -> None:
    href = f"https://example.org{FOLDER}{WANTED.filename}"
    for shape in (coverage, collection):
        assert file_links(json.dumps(shape([link_to(href)] * 2)).encode()) == [href] * 2
    assert file_links(b'{"type": "Coverage"}') == []
    relative = listed_link(WANTED.filename, f"https://example.org{FOLDER}", "RATE")
    assert relative is not None
    assert (relative.key, relative.url) == (WANTED, href)


def test_files_are_fetched_whatever_their_length_was_said_to_be(
    source: ApiSource, server: Server, other_server: Server, tmp_path: Path
) -> None:
    content = SIGNATURE + bytes(5000)
    server.respond = Double(other_server)
    other_server.in_turn(serve_file(content, stop_after=2000), HTML_503, serve_file(content))
    listed = source.list_day(TODAY)[WANTED.time]
    fetched = source.fetch(listed, tmp_path)
    assert fetched.path.read_bytes() == content
    assert [seen.headers.get("range") for seen in other_server.seen] == [
        None,
        "bytes=2000-",
        "bytes=2000-",
    ]


def test_the_key_goes_to_the_api_and_nowhere_else(
    source: ApiSource,
    server: Server,
    other_server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    content = SIGNATURE + bytes(100)
    server.respond = Double(other_server)
    other_server.respond = serve_file(content)
    source.list_day(TODAY)
    assert "apikey" not in server.seen[-1].headers
    monkeypatch.setenv(API_KEY_VARIABLE, KEY)
    listed = source.list_day(TODAY)[WANTED.time]
    assert server.seen[-1].headers["apikey"] == KEY
    source.fetch(listed, tmp_path)
    assert other_server.seen
    assert all("apikey" not in seen.headers for seen in other_server.seen)
    server.respond = serve_file(content)
    source.fetch(replace(listed, url=server.url + "/file"), tmp_path)
    assert server.seen[-1].headers["apikey"] == KEY
    server.respond = reply(302, headers={"Location": other_server.url})
    with pytest.raises(TransferError, match="redirects"):
        source.list_day(TODAY)
    assert all("apikey" not in seen.headers for seen in other_server.seen)
    assert KEY not in repr(source) + str(pickle.dumps(source)) + caplog.text
    assert "DEBUG" in caplog.text


@pytest.mark.parametrize("answer", [HTML_503, reply(401), reply(200, b"{}")])
def test_errors_hold_no_key(
    answer: Any, source: ApiSource, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, KEY)
    server.respond = answer
    with pytest.raises(MinkgenError) as caught:
        source.list_day(TODAY)
    assert KEY not in str(caught.value) + caught.value.one_line() + str(pickle.dumps(caught.value))


@pytest.mark.parametrize("key", [KEY + "\r\nEvil: yes", KEY + " ", "schlüssel", "a" * 501])
def test_a_key_injects_no_header(
    key: str, source: ApiSource, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, key)
    with pytest.raises(InputError, match=API_KEY_VARIABLE) as caught:
        source.check()
    assert key[:8] not in str(caught.value)
    assert server.seen == []


@pytest.mark.parametrize("endpoint", ["", "ftp://a", "http://me:secret@127.0.0.1/", "http://a b"])
def test_unusable_sources_are_refused_early(endpoint: str) -> None:
    with pytest.raises(SourceError):
        ApiSource(endpoint).check()
    with pytest.raises(SourceError):
        ApiSource("http://127.0.0.1:1", file_endpoints=(endpoint,)).check()


def test_sources_travel() -> None:
    source = ApiSource(policy=SWIFT)
    assert pickle.loads(pickle.dumps(source)) == source  # noqa: S301 - our own bytes
    assert date(2024, 11, 26) == TODAY
