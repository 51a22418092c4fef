"""Stores of tiny snapshots."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minkgen.store import build
from minkgen.store.layout import StorePaths
from tests.store.tiny import SAMPLES_PER_PART


@pytest.fixture
def tiny_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StorePaths:
    """Return an empty store whose snapshots have parts of 16 samples.

    Nothing is flushed: 300 flushes a snapshot take seconds, and only a machine that loses its power
    could tell the difference (`test_all_is_flushed_before_it_gets_its_name` looks at them).
    """
    monkeypatch.setattr(build, "SAMPLES_PER_SHARD", SAMPLES_PER_PART)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return StorePaths(tmp_path / "store")


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for finished builds of tiny snapshots, see `Tiny.place`."""
    return tmp_path_factory.mktemp("kept")
