"""Fixtures for all tests: the real files, where there are any, and a valid recipe's data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Tests are never timed: machines are shared, and the first example of a property may compile.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real OPERA files: MINKGEN_SHARED_DATA, or beside the checkout."""
    folder = Path(os.environ.get("MINKGEN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "opera").is_dir():
        pytest.skip("no real OPERA files: set MINKGEN_SHARED_DATA to the folder that holds opera/")
    return folder


@pytest.fixture(scope="session")
def real_archive(shared_data: Path) -> Path:
    """Return the real files' folder in the archive's layout."""
    return shared_data / "opera" / "openradar-archive"


@pytest.fixture(scope="session")
def recipe_data_in() -> Callable[[Path], dict[str, Any]]:
    """Return a function that gives a small valid recipe, as read from YAML, for a folder."""

    def small(folder: Path) -> dict[str, Any]:
        return {
            "name": "small",
            "store": str(folder / "store"),
            "source": {"path": str(folder / "archive")},
            "grid": "test_2km",
            "period": {"start": "2024-07-01T00:00", "end": "2024-07-01T06:00"},
            "splits": {
                "train": {"start": "2024-07-01T00:00", "end": "2024-07-01T03:00"},
                "validation": {"start": "2024-07-01T03:00", "end": "2024-07-01T04:30"},
                "test": {"start": "2024-07-01T04:30", "end": "2024-07-01T06:00"},
                "gap_hours": 0.5,
            },
            "cluster": {"workers": 1},
        }

    return small


@pytest.fixture
def recipe_data(recipe_data_in: Callable[[Path], dict[str, Any]], tmp_path: Path) -> dict[str, Any]:
    """Return the small recipe for this test's folder."""
    return recipe_data_in(tmp_path)
