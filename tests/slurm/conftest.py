"""Fixtures of the SLURM tests: the test bed, and a test's environment inside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from minkgen.opera.synthetic import write_archive
from minkgen.recipe import Recipe
from minkgen.workflows.ingest import ingest
from tests.slurm.bed import Bed, NotInstalledError

REQUIRED = "MINKGEN_REQUIRE_SLURM"
START = datetime(2024, 7, 1, tzinfo=UTC)
END = START + timedelta(hours=6)


@pytest.fixture(scope="session")
def slurm_testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """Start the test bed for all SLURM tests of this run, and stop it at the end."""
    try:
        with Bed.running(tmp_path_factory.mktemp("bed")) as bed:
            yield bed
    except NotInstalledError as error:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{REQUIRED}=1, and {error}", pytrace=False)
        pytest.skip(f"no SLURM on this host: {error}")


@pytest.fixture
def bed(slurm_testbed: Bed) -> Iterator[Bed]:
    """Return the test bed with four idle nodes; what this test leaves behind is cleared away."""
    try:
        yield slurm_testbed
    finally:
        slurm_testbed.clear()


@pytest.fixture
def inside_bed(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> Bed:
    """Let this process itself use the bed, as dask-jobqueue's calls of sbatch do."""
    environment = bed.environment()
    for name in os.environ.keys() - environment.keys():
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return bed


@pytest.fixture
def ingested(recipe_data: dict[str, Any], tmp_path: Path) -> Recipe:
    """Return a recipe whose composites are in its store."""
    write_archive(tmp_path / "archive", start=START, end=END, layout="nimbus", seed=1)
    recipe = Recipe.model_validate(recipe_data)
    ingest(recipe)
    return recipe
