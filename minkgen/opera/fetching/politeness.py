"""How politely a server is asked: the policy, the pace of requests, when to give it up."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from minkgen import __version__
from minkgen.errors import InputError, TransferError

__all__ = ["Pace", "TransferPolicy", "Waiting"]

_CONTACT = re.compile(r"[\x21-\x7e]{3,100}")


@dataclass(frozen=True)
class TransferPolicy:
    """How much a server may be asked for, and how patiently.

    Attributes
    ----------
    connections : int
        Simultaneous transfers from one server, in this process.
    requests_per_second : float
        Requests to one server, in this process.
    attempts : int
        Of each listing and each file.
    connect_timeout_s, read_timeout_s : float
        Longest wait for a connection, and longest silence.
    least_bytes_per_second : float
        What a server must send on average; a slow drip is cut off.
    largest_file_bytes : int
        Files that are longer are refused.
    backoff_base_s, backoff_cap_s : float
        Before attempt n + 1 a random time up to min(cap, base * 2^(n - 1)) passes.
    longest_wait_s : float
        Longest wait that a server may ask for.
    failures_until_dead : int
        So many listings and files in a row that could not be had make a server count as dead.
    contact : str, optional
        E-mail or web address, sent in the User-Agent.
    """

    connections: int = 4
    requests_per_second: float = 10.0
    attempts: int = 6
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    least_bytes_per_second: float = 20_000.0
    largest_file_bytes: int = 64 * 1024**2
    backoff_base_s: float = 2.0
    backoff_cap_s: float = 60.0
    longest_wait_s: float = 120.0
    failures_until_dead: int = 12
    contact: str | None = None

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if name != "contact" and not value > 0:
                raise InputError("not a positive number", where=f"TransferPolicy.{name}", got=value)
        if self.contact is not None and not _CONTACT.fullmatch(self.contact):
            raise InputError(
                "the contact cannot be sent in a header",
                where="TransferPolicy.contact",
                got=repr(self.contact),
                expected="an e-mail or web address of 3 to 100 visible ASCII characters",
            )

    @property
    def user_agent(self) -> str:
        """The User-Agent header."""
        return f"minkgen/{__version__}" + (f" (+{self.contact})" if self.contact else "")

    def seconds_for(self, size: int) -> float:
        """Return the longest time that a body may take in one attempt."""
        return self.read_timeout_s + size / self.least_bytes_per_second


@dataclass(frozen=True)
class Waiting:
    """The clocks and the chance that a client waits by."""

    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    epoch: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random


class Pace:
    """When the next request to a server may begin, and whether it still counts as alive.

    Parameters
    ----------
    policy : TransferPolicy
    waiting : Waiting
    """

    def __init__(self, policy: TransferPolicy, waiting: Waiting) -> None:
        self._policy = policy
        self._waiting = waiting
        self._lock = threading.Lock()
        self._next_request = float("-inf")
        self._failures_in_a_row = 0

    def wait_for_turn(self) -> None:
        """Wait until a request may begin; requests of all threads are evenly spaced."""
        with self._lock:
            now = self._waiting.monotonic()
            turn = max(now, self._next_request)
            self._next_request = turn + 1.0 / self._policy.requests_per_second
        if turn > now:
            self._waiting.sleep(turn - now)

    def pause(self, seconds: float) -> None:
        """Let no request of any thread begin for as long as the server asks, up to a limit."""
        resume = self._waiting.monotonic() + min(seconds, self._policy.longest_wait_s)
        with self._lock:
            self._next_request = max(self._next_request, resume)

    def back_off(self, failed_attempts: int) -> None:
        """Wait for a random time (full jitter) below a limit that doubles with every attempt."""
        limit = self._policy.backoff_base_s * 2.0 ** (failed_attempts - 1)
        self._waiting.sleep(min(limit, self._policy.backoff_cap_s) * self._waiting.chance())

    def succeeded(self) -> None:
        """Note that the server has answered."""
        with self._lock:
            self._failures_in_a_row = 0

    def failed(self) -> None:
        """Note that a listing or a file could not be had."""
        with self._lock:
            self._failures_in_a_row += 1

    def refuse_if_dead(self, url: str) -> None:
        """Raise `TransferError` if the server has failed too often in a row."""
        if self._failures_in_a_row >= self._policy.failures_until_dead:
            raise TransferError(
                "the server counts as dead for the rest of this run",
                where=url,
                got=f"{self._failures_in_a_row} listings or files in a row could not be had",
                hint="run again later: only what is missing is asked for",
            )
