"""A synthetic archive of six hours, shared by all workflow tests, and recipes for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from minkgen.opera.synthetic import write_archive
from minkgen.recipe import Recipe
from minkgen.workflows.compute import Share, compute, compute_share, plan_compute
from minkgen.workflows.ingest import ingest

START, END = datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 7, 1, 6, tzinfo=UTC)


@pytest.fixture(scope="session")
def synthetic_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return six hours of synthetic composites on the test grid; treat as read-only."""
    root = tmp_path_factory.mktemp("archive")
    write_archive(root, start=START, end=END, layout="nimbus", seed=1)
    return root


@pytest.fixture
def archive(synthetic_archive: Path, tmp_path: Path) -> Path:
    """Return a copy of the synthetic archive that a test may damage."""
    return Path(shutil.copytree(synthetic_archive, tmp_path / "archive"))


@pytest.fixture
def make_recipe(recipe_data: dict[str, Any]) -> Callable[..., Recipe]:
    """Return a function that makes a recipe with some sections replaced."""

    def make(**sections: Any) -> Recipe:
        return Recipe.model_validate({**recipe_data, **sections})

    return make


@pytest.fixture(scope="session")
def ingested_store(
    synthetic_archive: Path,
    tmp_path_factory: pytest.TempPathFactory,
    recipe_data_in: Callable[[Path], dict[str, Any]],
) -> Path:
    """Return a store that holds the synthetic archive's composites; treat as read-only."""
    folder = tmp_path_factory.mktemp("ingested")
    data = recipe_data_in(folder)
    data["source"]["path"] = str(synthetic_archive)
    ingest(Recipe.model_validate(data))
    return folder / "store"


@pytest.fixture
def recipe(
    make_recipe: Callable[..., Recipe], synthetic_archive: Path, ingested_store: Path
) -> Recipe:
    """Return a recipe whose composites are in a store of its own."""
    recipe = make_recipe(source={"path": str(synthetic_archive)})
    shutil.copytree(ingested_store, recipe.store)
    return recipe


@pytest.fixture(scope="session")
def planned_store(
    ingested_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
    recipe_data_in: Callable[[Path], dict[str, Any]],
) -> Path:
    """Return a store that holds composites, tile table and climate; treat as read-only."""
    folder = tmp_path_factory.mktemp("planned")
    shutil.copytree(ingested_store, folder / "store")
    plan_compute(Recipe.model_validate(recipe_data_in(folder)))
    return folder / "store"


@pytest.fixture(scope="session")
def computed_store(
    planned_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
    recipe_data_in: Callable[[Path], dict[str, Any]],
) -> Path:
    """Return the same with a snapshot, made in one process part by part; treat as read-only."""
    folder = tmp_path_factory.mktemp("computed")
    shutil.copytree(planned_store, folder / "store")
    recipe = Recipe.model_validate(recipe_data_in(folder))
    compute_share(recipe, Share(1, 1))
    compute(recipe)
    return folder / "store"


@pytest.fixture
def planned(make_recipe: Callable[..., Recipe], planned_store: Path) -> Recipe:
    """Return a recipe whose composites, tile table and climate are in a store of its own."""
    recipe = make_recipe()
    shutil.copytree(planned_store, recipe.store)
    return recipe


@pytest.fixture
def computed(make_recipe: Callable[..., Recipe], computed_store: Path) -> Recipe:
    """Return a recipe whose snapshot is in a store of its own, too."""
    recipe = make_recipe()
    shutil.copytree(computed_store, recipe.store, symlinks=True)
    return recipe
