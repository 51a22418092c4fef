"""Servers on loopback that fail on purpose, and clocks that need no waiting."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from minkgen.opera.fetching.http import TransferPolicy, Waiting

SIGNATURE = b"\x89HDF\r\n\x1a\n"
ETAG = '"0123456789abcdef"'
# What a faulty server gives up after, should the client not.
MOST_BYTES = 64 * 1024**2
MOST_DRIPS = 1000
DRIPPED = SIGNATURE + bytes(100 * MOST_DRIPS)

Handler = BaseHTTPRequestHandler
Answer = Callable[[Handler], None]

# Real waits of tests that cannot inject a clock; long enough for a busy machine to answer in.
SWIFT = TransferPolicy(
    requests_per_second=10_000.0,
    attempts=3,
    connect_timeout_s=5.0,
    read_timeout_s=5.0,
    backoff_base_s=0.001,
    longest_wait_s=0.01,
)


@dataclass
class FakeTime:
    """A clock that moves only when somebody sleeps, or by a step with every look at it."""

    now: float = 1_000.0
    step: float = 0.0
    chance: float = 0.5
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def look(self) -> float:
        self.now += self.step
        return self.now

    @property
    def waiting(self) -> Waiting:
        return Waiting(
            self.sleep, self.look, lambda: 1_700_000_000.0 + self.now, lambda: self.chance
        )


@dataclass
class Seen:
    """One request, as a server saw it; header names in lower case."""

    path: str
    headers: dict[str, str]
    client_port: int


class _Http(ThreadingHTTPServer):
    daemon_threads = False
    owner: Server

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients that hang up are what these servers are for."""


class Server:
    """A server that answers every request by one function, and remembers the requests."""

    def __init__(self, scheme: str = "http") -> None:
        self.scheme = scheme
        self.seen: list[Seen] = []
        self.sent = 0
        self.respond: Answer = reply(404)
        self.keep_alive = False
        self.open_connections = 0
        self.stopping = threading.Event()
        self.counting = threading.Condition()
        server = self

        class Remembering(Handler):
            timeout = 5

            def setup(self) -> None:
                super().setup()
                with server.counting:
                    server.open_connections += 1

            def finish(self) -> None:
                super().finish()
                with server.counting:
                    server.open_connections -= 1
                    server.counting.notify_all()

            def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.seen.append(Seen(self.path, headers, self.client_address[1]))
                self.protocol_version = "HTTP/1.1" if server.keep_alive else "HTTP/1.0"
                self.close_connection = not server.keep_alive
                with suppress(BrokenPipeError, ConnectionResetError):  # the client had enough
                    server.respond(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = _Http(("127.0.0.1", 0), Remembering)
        self.http.owner = self
        self.port = self.http.server_port

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def wait_until_left(self) -> bool:
        """Return whether all clients have closed their connections, in a few seconds."""
        with self.counting:
            return self.counting.wait_for(lambda: self.open_connections == 0, timeout=3)

    def in_turn(self, *answers: Answer) -> None:
        """Give these answers one after the other, and the last one ever after."""
        lock, waiting = threading.Lock(), list(answers)

        def respond(handler: Handler) -> None:
            with lock:
                answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            answer(handler)

        self.respond = respond


@contextmanager
def running(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.http.shutdown()
        server.http.server_close()
        thread.join()


def reply(
    status: int,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    length: int | None = None,
) -> Answer:
    """Answer with a body, whose announced length may be wrong."""

    def answer(handler: Handler) -> None:
        given = {"Content-Length": str(len(body) if length is None else length), **(headers or {})}
        handler.send_response(status)
        for name, value in given.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


HTML_503 = reply(503, b"<html><h1>503 Service Temporarily Unavailable</h1></html>")


def serve_file(content: bytes, etag: str | None = ETAG, *, stop_after: int | None = None) -> Answer:
    """Serve a file as a good server does, ranges too; the body may break off."""

    def answer(handler: Handler) -> None:
        begin, headers = 0, {} if etag is None else {"ETag": etag}
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        if wanted and handler.headers.get("If-Range", etag) == etag:
            begin = int(wanted[1])
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        body = content[begin:]
        status = 206 if begin else 200
        reply(status, body[:stop_after], headers, length=len(body))(handler)

    return answer


def chunked(content: bytes, *, ended: bool = True) -> Answer:
    """Send a body in chunks, without its length, and perhaps without its end."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("ETag", ETAG)
        handler.end_headers()
        for begin in range(0, len(content), 9_000):
            piece = content[begin : begin + 9_000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n" if ended else b"")

    return answer


def reset(handler: Handler) -> None:
    """Reset the connection without an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.wfile.close()
    handler.rfile.close()
    handler.connection.close()


def silence(handler: Handler) -> None:
    """Begin a body and fall silent until the server is stopped."""
    reply(200, SIGNATURE, length=1000)(handler)
    handler.server.owner.stopping.wait(10)


def drip(handler: Handler) -> None:
    """Send the beginning of a file byte by byte."""
    reply(200, SIGNATURE, {"ETag": ETAG}, length=len(DRIPPED))(handler)
    for _ in range(MOST_DRIPS):
        handler.wfile.write(b"\0")
        time.sleep(0.005)


def endless(handler: Handler, status: int = 200, location: str | None = None) -> None:
    """Send a body without a length that does not end."""
    owner = handler.server.owner
    handler.send_response(status)
    if location:
        handler.send_header("Location", location)
    handler.end_headers()
    handler.wfile.write(SIGNATURE)
    while owner.sent < MOST_BYTES:
        handler.wfile.write(bytes(1 << 16))
        owner.sent += 1 << 16
