"""The direction of imports, and that importing the library does nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What each room may stand on. A room may always import from itself.
FOUNDATION = {"errors", "recipe", "recipe_file", "site_file", "grid", "products"}
ALLOWED = {
    "errors": set(),
    "grid": {"errors"},
    "products": set(),
    "recipe": {"errors", "grid", "products"},
    "yaml_file": {"errors"},
    "recipe_file": {"errors", "grid", "recipe", "yaml_file"},
    "site_file": {"errors", "grid", "recipe", "yaml_file"},
    "gamma": FOUNDATION,
    "opera": FOUNDATION,
    "own": FOUNDATION,
    "tiles": FOUNDATION,
    "recipes": set(),
    "store": FOUNDATION | {"gamma", "opera", "tiles"},
    "learn": FOUNDATION | {"gamma", "tiles", "store"},
    "evaluate": FOUNDATION | {"gamma", "store"},
    "workflows": FOUNDATION | {"gamma", "opera", "own", "tiles", "store", "learn", "evaluate"},
    "cli": FOUNDATION | {"workflows"},
}
THIRD_PARTY = {
    "learn": {"dask", "distributed", "h5py", "gudhi", "skimage"},
    "evaluate": {"dask", "distributed", "torch", "h5py"},
    "gamma": {"dask", "distributed", "torch", "h5py"},
    "store": {"dask", "distributed", "torch"},
    "workflows": {"torch", "lightning_fabric"},
    "cli": {"torch", "dask", "distributed", "zarr", "h5py"},
}


def modules() -> Iterator[tuple[str, Path]]:
    for top, room in (("minkgen", None), ("cli", "cli"), ("workflows", "workflows")):
        for path in sorted((ROOT / top).rglob("*.py")):
            inside = path.relative_to(ROOT / top).parts
            if room is None and inside == ("__init__.py",):
                continue  # the lazy front door
            yield room or Path(inside[0]).stem, path


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield node.module


@pytest.mark.parametrize(
    ("room", "path"),
    [pytest.param(room, path, id="/".join(path.parts[-2:])) for room, path in modules()],
)
def test_no_import_runs_upward(room: str, path: Path) -> None:
    assert room in ALLOWED, f"{room} is new: say in ALLOWED what it may stand on"
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == "minkgen" and rest:
            target = rest.split(".")[0]
            assert target == room or target in ALLOWED[room], f"{path.name} imports {name}"
        assert top not in THIRD_PARTY.get(room, set()), f"{path.name} imports {name}"


def run_clean(code: str, folder: Path) -> str:
    """Run code in a new process with an empty HOME and working directory."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code],
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_library_has_no_side_effect(tmp_path: Path) -> None:
    code = """
import importlib, pkgutil, signal, threading
before = {number: signal.getsignal(number) for number in signal.valid_signals()}
import minkgen
names = [module.name for module in pkgutil.walk_packages(minkgen.__path__, "minkgen.")]
for name in names:
    importlib.import_module(name)
after = {number: signal.getsignal(number) for number in signal.valid_signals()}
assert before == after, "a signal handler was changed"
assert threading.active_count() == 1, threading.enumerate()
print(len(names))
"""
    assert int(run_clean(code, tmp_path)) > 30
    assert not list(tmp_path.iterdir()), "importing wrote a file"


def test_a_gpu_node_needs_little(tmp_path: Path) -> None:
    code = """
import importlib, pkgutil, sys
import minkgen.learn
for module in pkgutil.walk_packages(minkgen.learn.__path__, "minkgen.learn."):
    importlib.import_module(module.name)
print(*sorted({"dask", "distributed", "h5py", "gudhi", "skimage"} & set(sys.modules)))
"""
    assert run_clean(code, tmp_path).split() == []


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = """
import sys
import click
from minkgen.cli.main import cli
try:
    cli.main(["--help"], prog_name="minkgen")
except SystemExit as done:
    assert done.code == 0
heavy = {"numpy", "numba", "torch", "dask", "zarr", "xarray", "h5py", "pydantic"} & set(sys.modules)
assert not heavy, heavy
"""
    assert "Exit status" in run_clean(code, tmp_path)
