"""The container recipes: the lock satisfies the project, and all files they copy are there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
CONTAINERS = ROOT / "deploy" / "containers"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
WANTED = [*PROJECT["dependencies"], *EXTRAS["train"], *EXTRAS["geo"], *EXTRAS["remote"]]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, str]:
    lines = (CONTAINERS / "requirements.lock").read_text(encoding="utf-8").split()
    return {normal(name): version for name, _, version in (line.partition("==") for line in lines)}


@pytest.mark.parametrize("wanted", WANTED)
def test_the_lock_satisfies_the_project(wanted: str) -> None:
    requirement = Requirement(wanted)
    version = locked().get(normal(requirement.name))
    assert version is not None, "renew the lock: see deploy/containers/README.md"
    assert requirement.specifier.contains(version)
    assert "+" not in version, "a build's suffix keeps pip from other builds"


def copied() -> list[str]:
    docker = (CONTAINERS / "Dockerfile").read_text(encoding="utf-8")
    apptainer = (CONTAINERS / "minkgen.def").read_text(encoding="utf-8")
    files = apptainer.partition("%files\n")[2].partition("\n\n")[0]
    sources = [
        word for line in re.findall(r"^COPY (.*)", docker, re.M) for word in line.split()[:-1]
    ]
    return sources + [line.split()[0] for line in files.splitlines()]


def test_what_the_recipes_copy_is_there() -> None:
    assert len(copied()) == 16
    assert all((ROOT / source).exists() for source in copied())
