"""One file from a server that fails on purpose: resumed, refused, given up, never left behind."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from minkgen.errors import MinkgenError, SourceError, TransferError
from minkgen.opera.fetching.download import download
from minkgen.opera.fetching.http import Client, TransferPolicy
from minkgen.opera.fetching.sources import Fetched, Listed
from minkgen.opera.keys import ArchiveKey
from tests.opera.servers import (
    DRIPPED,
    ETAG,
    HTML_503,
    MOST_BYTES,
    SIGNATURE,
    Answer,
    FakeTime,
    Server,
    chunked,
    drip,
    endless,
    reply,
    reset,
    serve_file,
    silence,
)

KEY = ArchiveKey(datetime(2024, 7, 5, 6, 30, tzinfo=UTC), "RATE")
CONTENT = SIGNATURE + bytes(range(256)) * 800
SIZE = len(CONTENT)
OTHER = SIGNATURE + bytes(reversed(range(256))) * 800
POLICY = TransferPolicy(attempts=4)
Fetch = Callable[..., Fetched]


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Fetch:
    """Return a function that downloads the server's file; afterwards nothing else is there."""

    def run(size: int | None = SIZE, policy: TransferPolicy = POLICY, step: float = 0.0) -> Fetched:
        folder = tmp_path / "incoming"
        folder.mkdir(exist_ok=True)
        client = Client(policy, FakeTime(step=step).waiting)
        try:
            fetched = download(client, Listed(KEY, server.url + "/file", size), folder)
        except (MinkgenError, OSError):
            assert list(folder.iterdir()) == []
            raise
        assert list(folder.iterdir()) == [fetched.path]
        return fetched

    return run


def assert_whole(fetched: Fetched, content: bytes = CONTENT, etag: str | None = ETAG) -> None:
    assert fetched.path.read_bytes() == content
    digest = hashlib.sha256(content).hexdigest()
    assert fetched == Fetched(fetched.path, len(content), digest, etag, temporary=True)


def ranges(server: Server) -> list[tuple[str | None, str | None]]:
    return [(seen.headers.get("range"), seen.headers.get("if-range")) for seen in server.seen]


@pytest.mark.parametrize("size", [SIZE, None])
def test_a_good_server_is_asked_once(size: int | None, server: Server, fetch: Fetch) -> None:
    server.respond = serve_file(CONTENT)
    fetched = fetch(size)
    assert_whole(fetched)
    assert fetched.path.name.startswith(f".{KEY.filename}.")
    assert fetched.path.suffix == ".part"
    assert ranges(server) == [(None, None)]


@pytest.mark.parametrize("size", [SIZE, None])
def test_a_body_that_breaks_off_is_resumed(size: int | None, server: Server, fetch: Fetch) -> None:
    part = serve_file(CONTENT, stop_after=50_000)
    server.in_turn(part, HTML_503, part, serve_file(CONTENT))
    assert_whole(fetch(size))
    assert ranges(server) == [
        (None, None),
        ("bytes=50000-", ETAG),
        ("bytes=50000-", ETAG),
        ("bytes=100000-", ETAG),
    ]


def test_a_length_that_is_too_short_is_resumed(server: Server, fetch: Fetch) -> None:
    server.in_turn(reply(200, CONTENT[:70_000], {"ETag": ETAG}), serve_file(CONTENT))
    assert_whole(fetch())
    assert ranges(server)[1:] == [("bytes=70000-", ETAG)]


def test_a_length_that_is_too_long_does_no_harm(server: Server, fetch: Fetch) -> None:
    server.respond = reply(200, CONTENT, {"ETag": ETAG}, length=SIZE + 100)
    assert_whole(fetch())
    assert len(server.seen) == 1


@pytest.mark.parametrize("size", [SIZE, None])
def test_a_body_in_chunks(size: int | None, server: Server, fetch: Fetch, tmp_path: Path) -> None:
    server.in_turn(chunked(CONTENT[:45_000], ended=False), serve_file(CONTENT))
    assert_whole(fetch(size))
    assert ranges(server)[1:] == [("bytes=45000-", ETAG)]
    server.respond = chunked(CONTENT)
    assert download(Client(POLICY), Listed(KEY, server.url, size), tmp_path).size == SIZE


def test_a_server_without_ranges_begins_anew(server: Server, fetch: Fetch) -> None:
    broken = reply(200, CONTENT[:60_000], {"ETag": ETAG}, length=SIZE)
    server.in_turn(broken, broken, reply(200, CONTENT, {"ETag": ETAG}))
    assert_whole(fetch())
    assert [wanted for wanted, _ in ranges(server)] == [None, "bytes=60000-", "bytes=60000-"]


@pytest.mark.parametrize("etag", [None, 'W/"weak"', "unquoted", '"' + "a" * 300 + '"'])
def test_without_a_strong_etag_nothing_is_resumed(
    etag: str | None, server: Server, fetch: Fetch
) -> None:
    server.in_turn(serve_file(CONTENT, etag, stop_after=50_000), serve_file(CONTENT, etag))
    assert_whole(fetch(), etag=None)
    assert ranges(server) == [(None, None), (None, None)]


def test_a_file_that_changes_on_the_way_is_begun_anew(server: Server, fetch: Fetch) -> None:
    server.in_turn(serve_file(CONTENT, stop_after=50_000), serve_file(OTHER, '"other"'))
    assert_whole(fetch(), OTHER, '"other"')
    assert len(server.seen) == 2


def test_nothing_of_a_longer_file_stays_behind(server: Server, fetch: Fetch) -> None:
    shorter = OTHER[:100_000]
    server.in_turn(serve_file(CONTENT, stop_after=150_000), serve_file(shorter, '"other"'))
    assert_whole(fetch(None), shorter, '"other"')


def resumed(start: int = 50_000, total: object = SIZE, etag: str | None = ETAG) -> Answer:
    headers = {"Content-Range": f"bytes {start}-{SIZE - 1}/{total}"}
    return reply(206, OTHER[start:], headers | ({"ETag": etag} if etag else {}))


WRONG_RESUMES = {
    "another etag": resumed(etag='"other"'),
    "another place": resumed(start=49_999),
    "another size": resumed(total=SIZE + 1),
    "no range": reply(206, OTHER[50_000:], {"ETag": ETAG}),
    "not satisfiable": reply(416),
}


@pytest.mark.parametrize("wrong", WRONG_RESUMES)
def test_a_wrong_resume_is_not_taken(wrong: str, server: Server, fetch: Fetch) -> None:
    server.in_turn(
        serve_file(CONTENT, stop_after=50_000), WRONG_RESUMES[wrong], serve_file(CONTENT)
    )
    assert_whole(fetch())
    assert [wanted for wanted, _ in ranges(server)] == [None, "bytes=50000-", None]


def test_a_resume_of_a_total_that_is_not_told(server: Server, fetch: Fetch) -> None:
    rest = {"Content-Range": f"bytes 50000-{SIZE - 1}/*"}
    server.in_turn(serve_file(CONTENT, stop_after=50_000), reply(206, CONTENT[50_000:], rest))
    assert_whole(fetch())


GIVEN_UP: dict[str, tuple[Answer, str]] = {
    "503": (HTML_503, "HTTP 503"),
    "429": (reply(429, headers={"Retry-After": "3"}), "HTTP 429"),
    "reset": (reset, "cannot be reached"),
    "never whole": (reply(200, CONTENT[:-1], {"ETag": ETAG}, length=SIZE), "broke off"),
    "never whole, by its own account": (reply(200, CONTENT[:-1]), "broke off"),
}


@pytest.mark.parametrize("case", GIVEN_UP)
def test_a_file_that_never_comes_is_given_up(case: str, server: Server, fetch: Fetch) -> None:
    server.respond, message = GIVEN_UP[case]
    with pytest.raises(TransferError, match=message) as caught:
        fetch()
    assert len(server.seen) == POLICY.attempts
    assert server.url in str(caught.value)


def test_a_file_that_is_gone_is_not_asked_for_again(server: Server, fetch: Fetch) -> None:
    server.respond = reply(404)
    with pytest.raises(TransferError, match="HTTP 404"):
        fetch()
    assert len(server.seen) == 1


def test_silence_and_drips_end(server: Server, fetch: Fetch) -> None:
    server.respond = silence
    with pytest.raises(TransferError, match="broke off"):
        fetch(policy=replace(POLICY, attempts=2, read_timeout_s=0.2))
    server.respond = drip
    with pytest.raises(TransferError, match="too slowly"):
        fetch(policy=replace(POLICY, attempts=2), step=10.0)
    assert len(server.seen) == 4


def test_what_dripped_in_is_kept_for_the_next_attempt(server: Server, fetch: Fetch) -> None:
    server.in_turn(drip, serve_file(DRIPPED))
    fetched = fetch(len(DRIPPED), policy=replace(POLICY, attempts=2), step=15.0)
    assert_whole(fetched, DRIPPED)
    begin = re.fullmatch(r"bytes=(\d+)-", server.seen[1].headers["range"])
    assert begin is not None
    assert 0 < int(begin[1]) < 100


REFUSED: dict[str, tuple[Answer, str]] = {
    "html": (reply(200, b"<html>sign in</html>" + bytes(SIZE - 20)), "not HDF5"),
    "short html": (reply(200, b"<html>"), "not HDF5"),
    "endless": (endless, "longer than it should be"),
    "longer": (reply(200, CONTENT + b"!"), "longer than it should be"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_the_listed_file_is_refused(case: str, server: Server, fetch: Fetch) -> None:
    server.respond, message = REFUSED[case]
    with pytest.raises(SourceError, match=message):
        fetch()
    assert len(server.seen) == 1


@pytest.mark.parametrize(("size", "content"), [(4, SIGNATURE[:4]), (0, b""), (None, b"")])
def test_a_part_of_a_signature_is_no_hdf5(
    size: int | None, content: bytes, server: Server, fetch: Fetch
) -> None:
    server.respond = reply(200, content)
    with pytest.raises(SourceError, match="not HDF5"):
        fetch(size)


def test_an_endless_body_stops_at_once(server: Server, fetch: Fetch) -> None:
    server.respond = endless
    with pytest.raises(SourceError):
        fetch(None, policy=replace(POLICY, largest_file_bytes=100_000))
    # What the sockets hold between them; far from what the server would send.
    assert server.sent < MOST_BYTES / 4


@pytest.mark.parametrize("size", [None, 100_001])
def test_a_file_beyond_all_bounds_is_not_begun(
    size: int | None, server: Server, fetch: Fetch
) -> None:
    server.respond = reply(200, SIGNATURE, {"Content-Length": "100001"})
    with pytest.raises(SourceError, match="longer than any composite"):
        fetch(size, policy=replace(POLICY, largest_file_bytes=100_000))
    assert len(server.seen) == (size is None)


def test_redirects_to_another_host_are_refused(
    server: Server, other_server: Server, fetch: Fetch
) -> None:
    server.respond = reply(302, headers={"Location": f"{other_server.url}/file"})
    other_server.respond = serve_file(CONTENT)
    with pytest.raises(TransferError, match="redirects to another host"):
        fetch()
    assert other_server.seen == []


def test_a_full_disk_is_not_the_servers_fault(
    server: Server, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    server.respond = serve_file(CONTENT)
    with pytest.raises(OSError, match="No space left"):
        fetch()
    assert len(server.seen) == 1
