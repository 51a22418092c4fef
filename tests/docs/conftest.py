"""The ready store of the documentation, made once by the true workflows."""

from __future__ import annotations

import pytest
import torch

from minkgen.opera.synthetic import write_archive
from minkgen.recipe import Recipe
from minkgen.workflows.compute import Share, compute, compute_share, plan_compute
from minkgen.workflows.ingest import ingest
from minkgen.workflows.train import train_emulator
from tests.docs.setups import END, START, Workshop, small_recipe


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Return a store with composites, a snapshot and an emulator; treat as read-only."""
    folder = tmp_path_factory.mktemp("workshop")
    archive, store = folder / "archive", folder / "store"
    write_archive(archive, start=START, end=END, layout="nimbus", seed=1)
    recipe = Recipe.model_validate(small_recipe(store=str(store), source={"path": str(archive)}))
    ingest(recipe)
    # One process does all parts: no cluster has to be started for them.
    plan_compute(recipe)
    compute_share(recipe, Share(1, 1))
    compute(recipe)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train_emulator(recipe)
    finally:
        torch.set_num_threads(threads)
    return Workshop(store, archive)
