"""The archive behind an S3 protocol peer, and behind servers that list wrongly."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import boto3
import pytest
from moto.server import ThreadedMotoServer

from minkgen.errors import SourceError, TransferError
from minkgen.opera.fetching.archive import ArchiveSource, parse_listing
from minkgen.opera.fetching.folder import FolderSource
from minkgen.opera.keys import ArchiveKey, day_prefix
from minkgen.opera.odim import read_composite
from tests.opera.servers import HTML_503, SIGNATURE, SWIFT, Handler, Server, reply

ARCHIVE, RECENT = "openradar-archive", "openradar-24h"
SWITCH = date(2024, 7, 5)
FULL_DAY, EMPTY_DAY = date(2024, 7, 7), date(2024, 7, 8)
LAST_DAY = date(2024, 7, 10)
NOW = datetime(2024, 7, 11, 6, 30, tzinfo=UTC)
PER_DAY = 96
MINUTES_PER_DAY = 1440


def times(day: date, count: int = PER_DAY) -> list[datetime]:
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return [begin + number * timedelta(days=1) / count for number in range(count)]


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


class Peer:
    """An S3 server on loopback, and a client that fills it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",  # noqa: S106 - the S3 peer takes any
        )
        for bucket in (ARCHIVE, RECENT):
            self.client.create_bucket(Bucket=bucket, ACL="public-read")

    def put(self, key: ArchiveKey | str, body: bytes | None = None, bucket: str = ARCHIVE) -> None:
        name = key if isinstance(key, str) else key.path
        content = SIGNATURE + f"{bucket}/{name}".encode() if body is None else body
        self.client.put_object(Bucket=bucket, Key=name, Body=content, ACL="public-read")

    def source(self, **changes: Any) -> ArchiveSource:
        settings = {"endpoint": self.endpoint, "policy": SWIFT, "clock": now, **changes}
        return ArchiveSource(**settings)


def now() -> datetime:
    return NOW


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    """Return a peer with several thousand keys; tests may add keys of days of their own."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        peer = Peer(f"http://{host}:{port}")
        # One day of a composite a minute, for three pages, between two days without one.
        for time in times(FULL_DAY, MINUTES_PER_DAY):
            peer.put(ArchiveKey(time, "RATE"))
        for time in times(FULL_DAY, PER_DAY * 8):
            peer.put(ArchiveKey(time, "DBZH"))
        for time in times(SWITCH):
            if time < at(SWITCH, 9):
                peer.put(ArchiveKey(time, "QIND_RATE"))
            if time >= at(SWITCH, 6):
                peer.put(ArchiveKey(time, "RATE"))
        yield peer
        peer.client.close()
    finally:
        server.stop()


@pytest.fixture
def source(peer: Peer, own_network: None) -> ArchiveSource:
    return peer.source()


def test_a_day_of_several_pages_is_listed_whole(source: ArchiveSource) -> None:
    source.check()
    listing = source.list_day(FULL_DAY)
    assert list(listing) == times(FULL_DAY, MINUTES_PER_DAY)
    assert {listed.key.product_name for listed in listing.values()} == {"RATE"}
    assert len(source.list_day(FULL_DAY, "DBZH")) == PER_DAY * 8
    assert source.list_day(FULL_DAY, "ACRR") == {}


def test_a_day_without_keys_is_an_empty_day(source: ArchiveSource) -> None:
    assert source.list_day(EMPTY_DAY) == {}
    assert source.list_day(date(2012, 10, 15)) == {}
    assert source.can_tell_absence(at(EMPTY_DAY, 0))


def test_the_younger_name_wins_on_the_day_of_an_era_switch(source: ArchiveSource) -> None:
    listing = source.list_day(SWITCH)
    assert list(listing) == times(SWITCH)
    for time, listed in listing.items():
        expected = "QIND_RATE" if time < at(SWITCH, 6) else "RATE"
        assert listed.key == ArchiveKey(time, expected)


def test_listed_files_are_fetched(source: ArchiveSource, tmp_path: Path) -> None:
    for listed in list(source.list_day(SWITCH).values())[20:28]:
        content = SIGNATURE + f"{ARCHIVE}/{listed.key.path}".encode()
        assert listed.url == f"{source.endpoint}/{ARCHIVE}/{listed.key.path}"
        assert listed.size == len(content)
        fetched = source.fetch(listed, tmp_path)
        assert fetched.path.read_bytes() == content
        assert fetched.sha256 == hashlib.sha256(content).hexdigest()
        assert fetched.etag == listed.etag == f'"{hashlib.md5(content).hexdigest()}"'  # noqa: S324
        assert fetched.temporary


def test_a_file_that_is_gone_or_changed_is_not_taken(source: ArchiveSource, tmp_path: Path) -> None:
    listed = source.list_day(SWITCH)[at(SWITCH, 0)]
    gone = replace(listed, url=listed.url.replace("T0000", "T0001"))
    with pytest.raises(TransferError, match="HTTP 404"):
        source.fetch(gone, tmp_path)
    assert listed.size is not None
    with pytest.raises(SourceError, match="longer than it should be"):
        source.fetch(replace(listed, size=listed.size - 1), tmp_path)
    with pytest.raises(TransferError, match="broke off"):
        source.fetch(replace(listed, size=listed.size + 1), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_foreign_keys_below_the_prefix_are_not_looked_at(peer: Peer, source: ArchiveSource) -> None:
    day = date(2024, 7, 3)
    key = ArchiveKey(at(day, 1), "RATE")
    prefix = day_prefix(day)
    for name in (
        key.path,
        prefix,
        prefix + "notes.txt",
        prefix + "OPERA@20240703T0115@0@WIND.h5",
        prefix + "OPERA@20240703T0115@0@RATE.h5.md5",
        prefix + "old/OPERA@20240703T0115@0@RATE.h5",
        prefix + ArchiveKey(at(SWITCH, 1), "RATE").filename,
        prefix + "OPERA@२०२४०७०३T0130@0@RATE.h5",
    ):
        peer.put(name)
    assert list(source.list_day(day)) == [key.time]


@pytest.mark.parametrize("moved", [False, True])
def test_the_last_day_comes_from_both_buckets(
    moved: bool, peer: Peer, source: ArchiveSource
) -> None:
    day = LAST_DAY if moved else LAST_DAY + timedelta(days=1)
    archived, both, recent = (ArchiveKey(at(day, hour), "QIND_RATE") for hour in (0, 1, 2))
    younger = ArchiveKey(both.time.replace(hour=3), "RATE")
    for key in (archived, both, ArchiveKey(younger.time, "QIND_RATE")):
        peer.put(key)
    for key in (both, recent, younger):
        peer.put(key, bucket=RECENT)
    listing = source.list_day(day)
    buckets = {time.hour: listed.url.split("/")[3] for time, listed in listing.items()}
    assert buckets == {0: ARCHIVE, 1: ARCHIVE, 2: RECENT, 3: RECENT}
    assert listing[younger.time].key == younger


def test_the_buckets_asked_go_by_date(server: Server) -> None:
    empty = reply(200, b"<ListBucketResult/>")
    for day, buckets in {
        date(2024, 7, 8): [ARCHIVE],
        date(2024, 7, 9): [RECENT, ARCHIVE],
        date(2024, 7, 11): [RECENT, ARCHIVE],
    }.items():
        server.seen.clear()
        server.respond = empty
        assert ArchiveSource(server.url, SWIFT, clock=now).list_day(day) == {}
        assert [seen.path.split("/")[1] for seen in server.seen] == buckets
        query = parse_qs(urlsplit(server.seen[0].path).query)
        assert query == {"list-type": ["2"], "prefix": [day_prefix(day)]}


def test_a_file_that_moves_between_two_requests_is_not_lost(server: Server) -> None:
    key = ArchiveKey(at(LAST_DAY, 8), "RATE")
    asked: list[str] = []

    def respond(handler: Handler) -> None:
        # The file moves to the archive when the first of the two buckets has been listed.
        bucket = handler.path.split("/")[1]
        there = bucket == (ARCHIVE if asked else RECENT)
        asked.append(bucket)
        reply(200, page(*[key.path] * there))(handler)

    server.respond = respond
    assert list(ArchiveSource(server.url, SWIFT, clock=now).list_day(LAST_DAY)) == [key.time]


def page(*keys: str, token: str | None = None, truncated: bool | None = None) -> bytes:
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>9</Size></Contents>" for key in keys
    )
    ending = "" if token is None else f"<NextContinuationToken>{token}</NextContinuationToken>"
    more = token is not None if truncated is None else truncated
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{contents}{ending}</ListBucketResult>"
    ).encode()


PREFIX = day_prefix(SWITCH)
GOOD_KEY = ArchiveKey(at(SWITCH, 1), "RATE").path
BOMB = (
    '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in zip("abcdef", "bcdefg", strict=True)
    )
    + "]><ListBucketResult><Contents><Key>&g;</Key></Contents></ListBucketResult>"
)
NO_LISTINGS = {
    "not XML": b"<html><p>Sign in<br></html>",
    "empty": b"",
    "broken off": page(GOOD_KEY)[:-20],
    "another document": b"<ListAllMyBucketsResult/>",
    "an error": b"<Error><Code>SlowDown</Code></Error>",
    "unknown encoding": b"<?xml version='1.0' encoding='x-none'?><ListBucketResult/>",
    "no key": b"<ListBucketResult><Contents><Size>9</Size></Contents></ListBucketResult>",
    "size": page(GOOD_KEY).replace(b"<Size>9", b"<Size>-9"),
    "no token": page(GOOD_KEY, truncated=True),
    "absolute": page("/etc/passwd"),
    "dots": page(PREFIX + "../../../../../../etc/passwd"),
    "dots, and a good name": page(PREFIX + "../COMP/" + GOOD_KEY.rsplit("/")[-1]),
    "another day": page(GOOD_KEY.replace("07/05", "07/06")),
    "a line end": page("\n" + GOOD_KEY),
}


@pytest.mark.parametrize("case", NO_LISTINGS)
def test_what_is_no_listing_is_no_empty_day(case: str, server: Server) -> None:
    server.respond = reply(200, NO_LISTINGS[case])
    with pytest.raises(SourceError, match=r"is no listing|was not asked for"):
        ArchiveSource(server.url, SWIFT, clock=now).list_day(SWITCH)
    assert len(server.seen) == 1


ENTITY = page("&key;").replace(b"<List", b'<!DOCTYPE a [<!ENTITY key "a">]><List', 1)


@pytest.mark.parametrize(
    "content",
    [BOMB.encode(), BOMB.encode("utf-16"), ENTITY.replace(b"&amp;", b"&")],
    ids=["bomb", "bomb in UTF-16", "one"],
)
def test_entities_are_refused_before_they_are_expanded(content: bytes) -> None:
    with pytest.raises(SourceError, match="a document type is declared"):
        parse_listing(content)


def test_deep_listings_are_read(own_network: None) -> None:
    depth = 200_000
    content = b"<ListBucketResult>" + b"<a>" * depth + b"</a>" * depth + b"</ListBucketResult>"
    assert parse_listing(content).entries == []


def test_a_listing_that_never_ends_is_given_up(server: Server) -> None:
    source = ArchiveSource(server.url, SWIFT, clock=now)
    server.respond = reply(200, page(GOOD_KEY, token="a b&amp;c=+/"))  # noqa: S106 - of a listing
    with pytest.raises(SourceError, match="does not end"):
        source.list_day(SWITCH)
    assert len(server.seen) == 2
    query = parse_qs(urlsplit(server.seen[1].path).query)
    assert query["continuation-token"] == ["a b&c=+/"]
    server.respond = lambda handler: reply(200, page(token=str(len(server.seen))))(handler)
    with pytest.raises(SourceError, match="does not end"):
        source.list_day(SWITCH)
    assert len(server.seen) == 2 + 20


def test_a_failed_listing_is_no_empty_day(server: Server) -> None:
    source = ArchiveSource(server.url, SWIFT, clock=now)
    server.in_turn(HTML_503, reply(200, page(GOOD_KEY, token="next")), HTML_503)  # noqa: S106
    with pytest.raises(TransferError, match="HTTP 503"):
        source.list_day(SWITCH)
    assert len(server.seen) == 2 + SWIFT.attempts
    server.respond = reply(403)
    with pytest.raises(TransferError, match="HTTP 403"):
        source.check()


def test_a_dead_server_is_dead_for_all_days(server: Server) -> None:
    source = ArchiveSource(server.url, replace(SWIFT, failures_until_dead=2), clock=now)
    server.respond = HTML_503
    for number in range(100):
        with pytest.raises(TransferError, match="dead" if number >= 2 else "503"):
            source.list_day(SWITCH - timedelta(days=number))
    assert len(server.seen) == 2 * SWIFT.attempts


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoint": ""},
        {"endpoint": "s3://openradar-archive"},
        {"endpoint": "http://me:secret@127.0.0.1"},
        {"endpoint": "http://127.0.0.1/a b"},
        {"archive_bucket": "../etc"},
        {"recent_bucket": "a?b"},
    ],
)
def test_unusable_sources_are_refused_early(changes: dict[str, str]) -> None:
    with pytest.raises(SourceError):
        ArchiveSource(**changes).check()


def test_sources_travel_and_connect_late() -> None:
    source = ArchiveSource("http://127.0.0.1:9", SWIFT)
    assert pickle.loads(pickle.dumps(source)) == source  # noqa: S301 - our own bytes


def test_a_missing_bucket_is_refused_early(peer: Peer, own_network: None) -> None:
    with pytest.raises(TransferError, match="HTTP 404"):
        peer.source(archive_bucket="openradar-none").check()


@pytest.mark.shared_data
def test_real_files_come_as_they_are(
    peer: Peer, source: ArchiveSource, real_archive: Path, tmp_path: Path
) -> None:
    folder = FolderSource(real_archive)
    for day in (date(2018, 8, 24), date(2024, 11, 26)):
        expected = dict(list(folder.list_day(day).items())[:3])
        for listed in expected.values():
            peer.put(listed.key, folder.path(listed.key).read_bytes())
        listing = source.list_day(day)
        assert {time: listed.key for time, listed in listing.items()} == {
            time: listed.key for time, listed in expected.items()
        }
        for time, listed in listing.items():
            fetched = source.fetch(listed, tmp_path)
            original = folder.fetch(expected[time], tmp_path)
            assert (fetched.size, fetched.sha256) == (original.size, original.sha256)
        assert read_composite(fetched.path, listed.key).time == time
