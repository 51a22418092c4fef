"""The polite client: what it tries again, what it waits for, and what it refuses."""

from __future__ import annotations

import gc
import logging
import pickle
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import minkgen
from minkgen.errors import InputError, TransferError
from minkgen.opera.fetching.headers import origin, wait_asked_for
from minkgen.opera.fetching.http import (
    Client,
    InterruptedTransferError,
    TransferPolicy,
    client_for,
    close_clients,
)
from tests.opera.servers import (
    HTML_503,
    MOST_BYTES,
    SWIFT,
    FakeTime,
    Handler,
    Server,
    drip,
    endless,
    reply,
    reset,
    running,
    silence,
)

GOOD = reply(200, b"good")
MOST = 1000


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


def get(client: Client, server: Server, path: str = "/") -> bytes:
    return client.get(server.url + path, largest_bytes=MOST).content


PASSING = {
    **{f"HTTP {status}": reply(status) for status in (429, 500, 502, 504)},
    "HTTP 503": HTML_503,
    "Connection reset by peer": reset,
    "RemoteDisconnected": lambda handler: None,
    "broke off": reply(200, b"go", length=4),
    "BadStatusLine": lambda handler: handler.wfile.write(b"what?\r\n\r\n"),
}


@pytest.mark.parametrize("failure", PASSING)
def test_what_may_pass_is_tried_again(failure: str, server: Server, time: FakeTime) -> None:
    policy = TransferPolicy(attempts=3)
    server.in_turn(PASSING[failure], PASSING[failure], GOOD)
    assert get(Client(policy, time.waiting), server) == b"good"
    assert len(server.seen) == 3
    server.in_turn(PASSING[failure])
    with pytest.raises(TransferError, match=failure) as caught:
        get(Client(policy, time.waiting), server)
    assert len(server.seen) == 6
    assert "3 attempts" in str(caught.value)
    assert server.url in str(caught.value)


@pytest.mark.parametrize("status", [204, 206, 301, 400, 401, 403, 404, 410, 416, 501])
def test_what_will_not_pass_is_not_tried_again(status: int, server: Server, time: FakeTime) -> None:
    server.respond = reply(status)
    with pytest.raises(TransferError, match=f"HTTP {status}"):
        get(Client(TransferPolicy(), time.waiting), server)
    assert len(server.seen) == 1
    assert time.slept == []


def test_back_off_doubles_up_to_a_limit_with_full_jitter(server: Server, time: FakeTime) -> None:
    server.respond = HTML_503
    policy = TransferPolicy(attempts=6, backoff_base_s=2.0, backoff_cap_s=10.0)
    with pytest.raises(TransferError):
        get(Client(policy, time.waiting), server)
    assert time.slept == [1.0, 2.0, 4.0, 5.0, 5.0]


WAITS: dict[str, tuple[dict[str, str], float]] = {
    "seconds": ({"Retry-After": "7"}, 7.0),
    "at most the cap": ({"Retry-After": "86400"}, 90.0),
    "rate limit, seconds": ({"X-RateLimit-Reset": "17"}, 17.0),
    "rate limit, since 1970": ({"X-RateLimit-Reset": "1700001021"}, 21.0),
    "Retry-After first": ({"Retry-After": "7", "X-RateLimit-Reset": "17"}, 7.0),
    "date": ({"Retry-After": format_datetime(datetime.fromtimestamp(1700001033, UTC))}, 33.0),
    "date that has passed": ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
}


@pytest.mark.parametrize("case", WAITS)
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_is_left_alone_for_as_long_as_it_asks(
    case: str, status: int, server: Server
) -> None:
    headers, seconds = WAITS[case]
    time = FakeTime(chance=0.0)
    client = Client(TransferPolicy(longest_wait_s=90.0, requests_per_second=1000), time.waiting)
    server.in_turn(reply(status, headers=headers), GOOD)
    begin = time.now
    assert get(client, server) == b"good"
    assert time.now - begin == pytest.approx(seconds, abs=0.01)
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "text", ["soon", "-3", "nan", "inf", "9" * 5000, "Mon, 99999999999999999999 Jan 2024 0:0:0 GMT"]
)
def test_a_wait_that_makes_no_sense_is_none(text: str) -> None:
    assert wait_asked_for({"Retry-After": text, "X-RateLimit-Reset": text}, 0.0) is None


def test_a_moment_that_has_passed_is_no_wait() -> None:
    for name, value in (
        ("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"),
        ("Retry-After", "Wed, 21 Oct 2015 07:28:00 -0000"),
        ("X-RateLimit-Reset", "1445412480"),
    ):
        assert wait_asked_for({name: value}, 1_700_000_000.0) == 0.0
        assert wait_asked_for({name: value}, 1_445_412_470.0) == 10.0


def test_a_wait_holds_for_all_that_is_asked_of_the_server(server: Server, time: FakeTime) -> None:
    client = Client(TransferPolicy(attempts=1), time.waiting)
    server.in_turn(reply(429, headers={"Retry-After": "50"}), GOOD)
    with pytest.raises(TransferError):
        get(client, server, "/one")
    assert time.slept == []
    get(client, server, "/two")
    assert time.slept == [50.0]


def test_requests_are_spaced(server: Server, time: FakeTime) -> None:
    server.respond = GOOD
    client = Client(TransferPolicy(requests_per_second=4), time.waiting)
    for _ in range(5):
        get(client, server)
    assert time.slept == pytest.approx([0.25] * 4)


def test_connections_are_bounded_over_threads(server: Server) -> None:
    lock, active, most = threading.Lock(), 0, 0

    def respond(handler: Handler) -> None:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        together.wait(0.05)
        with lock:
            active -= 1
        GOOD(handler)

    together = threading.Event()
    server.respond = respond
    client = Client(replace(SWIFT, connections=2))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: get(client, server, f"/{number}"), range(16)))
    assert answers == [b"good"] * 16
    assert most == 2
    client.close()


def test_connections_are_kept_alive(server: Server) -> None:
    server.keep_alive = True
    server.in_turn(GOOD, GOOD, GOOD, HTML_503, GOOD)
    client = Client(SWIFT)
    for _ in range(4):
        with suppress(TransferError):
            get(client, server)
    client.close()
    ports = [seen.client_port for seen in server.seen]
    assert len(ports) == 5
    # Only a body that is not read, such as that of the 503, costs its connection.
    assert len(set(ports)) == 2


def test_a_closed_client_leaves_no_connection(server: Server) -> None:
    server.keep_alive = True
    server.in_turn(HTML_503, GOOD)
    client = Client(SWIFT)
    gc.disable()  # what only the garbage collector closes may stay open for hours
    try:
        get(client, server)
        assert server.open_connections > 0
        client.close()
        assert server.wait_until_left()
    finally:
        gc.enable()


def test_a_dead_server_is_given_up_for_the_rest_of_the_run(server: Server, time: FakeTime) -> None:
    server.respond = HTML_503
    policy = TransferPolicy(attempts=2, failures_until_dead=3)
    client = Client(policy, time.waiting)
    for number in range(3):
        with pytest.raises(TransferError, match="HTTP 503"):
            get(client, server, f"/{number}")
    begin = time.now
    for number in range(1000):
        with pytest.raises(TransferError, match="counts as dead for the rest of this run"):
            get(client, server, f"/{number}")
    assert len(server.seen) == 6
    assert time.now == begin


@pytest.mark.parametrize("answer", [GOOD, reply(404)], ids=["good", "404"])
def test_any_answer_shows_that_a_server_lives(
    answer: Callable[[Handler], None], server: Server, time: FakeTime
) -> None:
    client = Client(TransferPolicy(attempts=1, failures_until_dead=2), time.waiting)
    server.in_turn(*[HTML_503, answer] * 5)
    for _ in range(10):
        with suppress(TransferError):
            get(client, server)
    assert len(server.seen) == 10


def test_a_new_run_asks_again(server: Server) -> None:
    policy = replace(SWIFT, attempts=1, failures_until_dead=1)
    server.in_turn(HTML_503, GOOD)
    for _ in range(2):
        with pytest.raises(TransferError):
            get(client_for(policy, server.url), server)
    assert len(server.seen) == 1
    assert client_for(policy, server.url + "/a") is client_for(policy, server.url + "/b")
    close_clients()
    assert get(client_for(policy, server.url), server) == b"good"


def test_a_server_that_is_not_there(own_network: None, time: FakeTime) -> None:
    with running(Server()) as server:
        pass
    with pytest.raises(TransferError, match="cannot be reached") as caught:
        get(Client(TransferPolicy(), time.waiting), server)
    assert "Connection refused" in str(caught.value)
    assert len(time.slept) == 5


def test_silence_ends(server: Server) -> None:
    server.respond = silence
    client = Client(replace(SWIFT, attempts=2, read_timeout_s=0.2))
    with pytest.raises(TransferError, match="broke off"):
        get(client, server)
    assert len(server.seen) == 2


def test_a_slow_drip_ends(server: Server) -> None:
    time = FakeTime(step=10.0)
    server.respond = drip
    policy = TransferPolicy(attempts=2, read_timeout_s=30.0, least_bytes_per_second=1000.0)
    with pytest.raises(TransferError, match="too slowly"):
        get(Client(policy, time.waiting), server)
    assert len(server.seen) == 2


def test_an_endless_document_ends(server: Server, time: FakeTime) -> None:
    server.respond = endless
    with pytest.raises(TransferError, match="longer than any listing"):
        get(Client(TransferPolicy(), time.waiting), server)
    assert len(server.seen) == 1


def test_redirects_stay_at_home(server: Server, other_server: Server, time: FakeTime) -> None:
    client = Client(TransferPolicy(), time.waiting)
    server.in_turn(reply(302, headers={"Location": "/there"}), GOOD)
    assert get(client, server, "/here") == b"good"
    assert [seen.path for seen in server.seen] == ["/here", "/there"]
    for target in (other_server.url, server.url.replace("http", "https"), "http://[", "file:///a"):
        server.respond = reply(307, headers={"Location": target})
        with pytest.raises(TransferError, match="redirects to another host"):
            get(client, server)
    assert other_server.seen == []
    server.respond = partial(endless, status=302, location=other_server.url)
    with pytest.raises(TransferError, match="redirects to another host"):
        get(client, server)
    assert server.sent < MOST_BYTES / 4
    server.respond = reply(301, headers={"Location": server.url})
    with pytest.raises(TransferError, match="in circles"):
        get(client, server)


def test_the_client_says_who_it_is_and_keeps_no_cookies(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.respond = reply(200, headers={"Set-Cookie": "a=b; Path=/"})
    client = Client(replace(SWIFT, contact="radar@example.org"))
    for _ in range(2):
        get(client, server)
    headers = server.seen[1].headers
    assert headers["user-agent"] == f"minkgen/{minkgen.__version__} (+radar@example.org)"
    assert headers["accept-encoding"] == "identity"
    assert not {"cookie", "authorization"} & set(headers)


@pytest.mark.parametrize("contact", ["me\r\nEvil: yes", "me you", "", "mé@example.org", "a" * 101])
def test_a_contact_injects_no_header(contact: str) -> None:
    with pytest.raises(InputError, match="contact"):
        TransferPolicy(contact=contact)


@pytest.mark.parametrize("name", ["connections", "requests_per_second", "attempts"])
def test_a_policy_is_positive(name: str) -> None:
    with pytest.raises(InputError, match=name):
        TransferPolicy(**{name: 0})


def test_proxies_of_the_environment_are_honoured(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.respond = GOOD
    client = Client(SWIFT)
    assert client.get("http://archive.invalid/a", largest_bytes=9).content == b"good"
    assert server.seen[0].path == "http://archive.invalid/a"


def test_errors_quote_no_password_of_a_proxy(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.respond = reset
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:secret@"))
    with pytest.raises(TransferError) as caught:
        Client(SWIFT).get("http://archive.invalid/a", largest_bytes=9)
    assert "secret" not in str(caught.value) + caplog.text


def self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "server.pem"
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    return path


def test_certificates_are_verified(own_network: None, tmp_path: Path, time: FakeTime) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    server = Server("https")
    server.http.socket = context.wrap_socket(
        server.http.socket, server_side=True, do_handshake_on_connect=False
    )
    server.respond = GOOD
    with running(server), pytest.raises(TransferError, match="certificate is not valid"):
        get(Client(TransferPolicy(), time.waiting), server)
    assert server.seen == []
    assert time.slept == []


@pytest.mark.parametrize("url", ["", "a", "ftp://a", "http://", "http://a:b", "http://u:p@a"])
def test_origins_are_strict(url: str) -> None:
    assert origin(url) is None


def test_errors_travel() -> None:
    error = InterruptedTransferError("slow", where="a", wait_s=3.0)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (str(copy), copy.wait_s) == (str(error), 3.0)
