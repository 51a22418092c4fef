"""Servers for the tests of transfers; each is stopped by the test that started it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from minkgen.opera.fetching.http import close_clients
from tests.opera.servers import Server, running


@pytest.fixture
def own_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep proxies of the surroundings out, and connections of one test out of the next."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    yield
    close_clients()


@pytest.fixture
def server(own_network: None) -> Iterator[Server]:
    """Return a running server that answers 404 until it is told otherwise."""
    with running(Server()) as server:
        yield server


@pytest.fixture
def other_server(own_network: None) -> Iterator[Server]:
    """Return another running server."""
    with running(Server()) as server:
        yield server
