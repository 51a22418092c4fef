"""A polite HTTP client: bounded in connections, rate, bytes, time and attempts.

Listings and files share one retry loop, because they share one server: its rate, its `Retry-After`
and its circuit breaker. (urllib3's own `Retry` resumes no truncated body and knows no breaker; it
is left off.) Proxy variables of the environment are honoured, certificates verified, cookies and
`.netrc` not used. Redirects are followed on the same scheme, host and port only.
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import NamedTuple, TypeVar

import requests
import urllib3
from requests.adapters import HTTPAdapter

from minkgen.errors import MinkgenError, TransferError
from minkgen.opera.fetching.headers import origin, redirect_target, wait_asked_for
from minkgen.opera.fetching.politeness import Pace, TransferPolicy, Waiting

__all__ = [
    "Client",
    "Document",
    "InterruptedTransferError",
    "TransferPolicy",
    "Waiting",
    "client_for",
    "close_clients",
]

Result = TypeVar("Result")

_PASSING = frozenset({429, 500, 502, 503, 504})
_REDIRECTS = 3
_PIECE_BYTES = 1 << 16


class InterruptedTransferError(TransferError):
    """One attempt failed in a way that may pass; `Client.retry` tries again.

    Attributes
    ----------
    wait_s : float or None
        How long the server asks to be left alone.
    """

    def __init__(
        self, what: str, *, where: object, got: object = None, wait_s: float | None = None
    ) -> None:
        super().__init__(what, where=where, got=got)
        self.wait_s = wait_s


class Document(NamedTuple):
    """A small answer, in memory."""

    status: int
    content: bytes


class _Session(requests.Session):
    """A session that leaves redirects alone: requests would read their bodies, however long."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class Client:
    """A client of one server, for a small pool of threads.

    Parameters
    ----------
    policy : TransferPolicy
    waiting : Waiting, optional
    """

    def __init__(self, policy: TransferPolicy, waiting: Waiting | None = None) -> None:
        self.policy = policy
        self.waiting = waiting or Waiting()
        self._pace = Pace(policy, self.waiting)
        self._transfers = threading.BoundedSemaphore(policy.connections)
        self._session = _Session()
        self._session.headers.update({"User-Agent": policy.user_agent})
        # Byte ranges and bounds are about the bytes as they travel.
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.auth = _no_auth
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=policy.connections))

    def close(self) -> None:
        """Close the connections that are kept alive."""
        self._session.close()

    def retry(self, attempt: Callable[[], Result], url: str) -> Result:
        """Attempt something until it is no longer `InterruptedTransferError`, within the policy.

        Parameters
        ----------
        attempt : callable
            One attempt; it raises `InterruptedTransferError` where another one may help.
        url : str
            What it is about.

        Returns
        -------
        object
            What the attempt returned.

        Raises
        ------
        TransferError
            If all attempts were interrupted, or the server counts as dead.
        """
        number = 0
        while True:
            number += 1
            self._pace.refuse_if_dead(url)
            try:
                result = attempt()
            except InterruptedTransferError as error:
                # Not kept beyond this block: its traceback would keep the response's connection.
                if error.wait_s is not None:
                    self._pace.pause(error.wait_s)
                if number == self.policy.attempts:
                    self._pace.failed()
                    raise TransferError(
                        error.what,
                        where=url,
                        got=error.got,
                        hint=f"{number} attempts were made; run again later",
                    ) from error
            except MinkgenError:
                self._pace.succeeded()
                raise
            else:
                self._pace.succeeded()
                return result
            self._pace.back_off(number)

    def get(
        self,
        url: str,
        *,
        largest_bytes: int,
        headers: Mapping[str, str] | None = None,
        expect: tuple[int, ...] = (200,),
    ) -> Document:
        """Return a small document, retried as the policy says.

        Parameters
        ----------
        url : str
        largest_bytes : int
            A longer body is refused.
        headers : mapping, optional
        expect : tuple of int, optional
            Statuses that are an answer; the body of any other is not read.

        Returns
        -------
        Document

        Raises
        ------
        TransferError
            If it could not be had.
        """

        def attempt() -> Document:
            with self.open(url, headers=headers, expect=expect) as response:
                content = bytearray()
                for piece in self.stream(response, largest_bytes):
                    content += piece
                    if len(content) > largest_bytes:
                        raise TransferError(
                            "the answer is longer than any listing",
                            where=url,
                            expected=f"at most {largest_bytes} bytes",
                        )
                return Document(response.status_code, bytes(content))

        return self.retry(attempt, url)

    @contextmanager
    def open(
        self, url: str, *, headers: Mapping[str, str] | None = None, expect: tuple[int, ...]
    ) -> Iterator[requests.Response]:
        """Make one request and give its response, the body not yet read.

        Parameters
        ----------
        url : str
        headers : mapping, optional
        expect : tuple of int
            Statuses that are an answer.

        Yields
        ------
        requests.Response

        Raises
        ------
        InterruptedTransferError
            If it failed in a way that may pass: see `retry`.
        TransferError
            If it failed in another way.
        """
        with self._transfers:
            response = self._follow(url, dict(headers or {}))
            try:
                if response.status_code not in expect:
                    raise self._refusal(response, url)
                yield response
            finally:
                response.close()

    def stream(self, response: requests.Response, expected_bytes: int) -> Iterator[bytes]:
        """Yield the body of a response as it arrives.

        Raises
        ------
        InterruptedTransferError
            If the body breaks off, or comes more slowly than the policy allows.
        """
        deadline = self.waiting.monotonic() + self.policy.seconds_for(expected_bytes)
        while True:
            try:
                # read() would wait until the piece is full, however slowly the bytes drip.
                piece = response.raw.read1(_PIECE_BYTES, decode_content=False)
            except urllib3.exceptions.HTTPError as error:
                raise InterruptedTransferError(
                    "the answer broke off", where=response.url, got=_reason(error)
                ) from error
            if not piece:
                return
            yield piece
            if self.waiting.monotonic() > deadline:
                raise InterruptedTransferError("the server sends too slowly", where=response.url)

    def _follow(self, url: str, headers: dict[str, str]) -> requests.Response:
        target = url
        for _ in range(_REDIRECTS + 1):
            response = self._request(target, headers)
            if not response.is_redirect:
                return response
            response.close()
            location = response.headers["location"]
            following = redirect_target(target, location)
            if following is None:
                raise TransferError(
                    "the server redirects to another host",
                    where=url,
                    got=repr(location[:200]),
                    hint="if it has moved, give its new address in the recipe",
                )
            target = following
        raise TransferError(
            "the server redirects in circles", where=url, hint="is the address in the recipe right?"
        )

    def _request(self, url: str, headers: dict[str, str]) -> requests.Response:
        self._pace.wait_for_turn()
        timeout = (self.policy.connect_timeout_s, self.policy.read_timeout_s)
        try:
            return self._session.get(
                url, headers=headers, timeout=timeout, stream=True, allow_redirects=False
            )
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            # The texts of these errors are left out: they may quote a proxy's password.
            if isinstance(_root(error), ssl.SSLCertVerificationError):
                raise TransferError(
                    "the server's certificate is not valid",
                    where=url,
                    got=_reason(error),
                    hint="where a proxy puts its own there, name its authority in "
                    "REQUESTS_CA_BUNDLE",
                ) from error
            raise InterruptedTransferError(
                "the server cannot be reached", where=url, got=_reason(error)
            ) from error
        except requests.RequestException as error:
            raise TransferError(
                "the request cannot be made", where=url, got=type(error).__name__
            ) from error

    def _refusal(self, response: requests.Response, url: str) -> TransferError:
        got = f"HTTP {response.status_code}"
        if response.status_code in _PASSING:
            wait_s = wait_asked_for(response.headers, self.waiting.epoch())
            return InterruptedTransferError(
                "the server does not answer now", where=url, got=got, wait_s=wait_s
            )
        return TransferError(
            "the server refuses the request",
            where=url,
            got=got,
            hint="look at the endpoint, the bucket and, for the API, at its key",
        )


_clients: dict[tuple[int, TransferPolicy, str], Client] = {}
_clients_lock = threading.Lock()


def client_for(policy: TransferPolicy, url: str) -> Client:
    """Return this process's client of the server that a URL names."""
    # A forked child must not share its parent's connections.
    name = (os.getpid(), policy, str(origin(url)))
    with _clients_lock:
        if name not in _clients:
            _clients[name] = Client(policy)
        return _clients[name]


def close_clients() -> None:
    """Close this process's connections and forget which servers counted as dead: a run is over."""
    with _clients_lock:
        for client in _clients.values():
            client.close()
        _clients.clear()


def _root(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _reason(error: BaseException) -> str:
    root = _root(error)
    return (root.strerror if isinstance(root, OSError) else None) or type(root).__name__


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Send no credentials; without this, requests would look for some in `.netrc`."""
    return request
