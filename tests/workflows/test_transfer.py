"""Where composites come in: here, with what the site lends, whatever cluster a recipe names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from minkgen.errors import SiteError
from minkgen.recipe import LocalProcesses, Recipe
from minkgen.workflows.ingest import ingest
from minkgen.workflows.transfer import transfer_note, transfer_recipe

Make = Callable[..., Recipe]
SLURM = {"kind": "slurm", "workers": 64}


@pytest.fixture
def site(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    data = {
        "queue": "main",
        "interface": "ib0",
        "scratch": "/scratch",
        "shared": "/home/me",
        "logs": "/home/me",
        "transfer": {"node": "transfer", "workers": 3, "connections": 6},
    }
    path.write_text(yaml.safe_dump(data))
    return str(path)


@pytest.mark.parametrize(
    ("cluster", "has_site", "workers"),
    [
        (SLURM, True, 3),
        ({"kind": "address", "address": "tls://host:8786"}, True, 3),
        ({"kind": "address", "address": "tls://host:8786"}, False, 2),
        ({"kind": "local"}, True, 3),
        ({"kind": "local", "workers": 5}, True, 5),
        ({"kind": "local", "workers": 5}, False, 5),
        ({"kind": "local"}, False, None),
    ],
)
def test_processes_are_those_of_this_node(
    make_recipe: Make, site: str, cluster: dict[str, Any], has_site: bool, workers: int | None
) -> None:
    named = {**cluster, "site": site} if has_site else cluster
    recipe = transfer_recipe(make_recipe(cluster=named))
    assert recipe.cluster == LocalProcesses(site=site if has_site else None, workers=workers)


@pytest.mark.parametrize(("asked_for", "expected"), [(4, 4), (16, 6)])
def test_a_site_bounds_the_connections(
    make_recipe: Make, site: str, asked_for: int, expected: int
) -> None:
    recipe = make_recipe(cluster={**SLURM, "site": site}, download={"connections": asked_for})
    assert transfer_recipe(recipe).download.connections == expected


def test_ingest_submits_no_job(make_recipe: Make, archive: Path, site: str) -> None:
    recipe = make_recipe(source={"path": str(archive)}, cluster={**SLURM, "site": site})
    assert ingest(recipe).states["ok"] == 24
    note = transfer_note(recipe)
    assert note is not None
    assert "without jobs" in note
    assert "on a transfer node" in note


def test_without_a_site_there_is_nothing_to_say(make_recipe: Make) -> None:
    assert transfer_note(make_recipe()) is None


def test_a_site_that_is_not_there_is_a_fault(make_recipe: Make) -> None:
    with pytest.raises(SiteError, match="shipped profiles are"):
        transfer_recipe(make_recipe(cluster={**SLURM, "site": "nowhere"}))
