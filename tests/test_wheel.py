"""The wheel: whole, without tests, and of use in a clean environment without extras."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
# The packages of the project, and the folders of the checkout in which they lie.
PACKAGES = {"minkgen": "minkgen", "cli": "minkgen/cli", "workflows": "minkgen/workflows"}
SITES = ("deploy/sites", "minkgen/sites")
LIBRARY = """
import numpy, minkgen
from pathlib import Path
from datetime import UTC, datetime
from minkgen.opera.synthetic import write_archive

start = datetime(2024, 7, 1, tzinfo=UTC)
paths = write_archive(Path("archive"), start=start, end=start.replace(minute=15), layout="nimbus")
rain = minkgen.open_composite(paths[0])["rain_rate"]
print(rain.dims, rain.shape)
tile = numpy.nan_to_num(rain[192:320, 256:384])
gamma = minkgen.gamma_matrix(tile, [0.1, 1.0], pixel_km=2.0)
print(gamma.shape == (len(minkgen.FUNCTIONALS), 2), gamma[0, 0] == 4 * (tile >= 0.1).sum() > 0)
"""


def run(*command: str | Path, folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a program as a user would who has nothing of this checkout."""
    # What pip is told of registries and caches stays: the packages are the same for everybody.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MINKGEN_", "PYTHON", "NUMBA_", "VIRTUAL_ENV"))
    }
    return subprocess.run(  # noqa: S603 - our own interpreters
        [str(part) for part in command],
        cwd=folder,
        env=kept | {"HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def tracked(*folders: str) -> list[str]:
    """Return the files of the checkout's folders (or of all) that git knows."""
    listing = subprocess.run(  # noqa: S603 - git itself
        ["git", "ls-files", "-z", "--", *folders],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listing.stdout.split("\0") if name and (ROOT / name).exists()]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clean copy of the checkout: what git knows, and nothing else."""
    folder = tmp_path_factory.mktemp("clean") / "checkout"
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(checkout, tmp_path_factory.mktemp("wheel"))


def build_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a checkout or an sdist, in pip's own clean environment for builds."""
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps")
    subprocess.run([*pip, "--wheel-dir", str(folder), str(source)], check=True)  # noqa: S603
    (built,) = folder.glob("minkgen-*.whl")
    return built


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_file_of_the_packages_is_in_the_wheel_and_no_other(wheel: Path) -> None:
    """Templates, recipes, profiles: a file that setuptools is not told of is missed only later."""
    wanted = {
        name.replace(folder, package, 1)
        for folder, package in (*PACKAGES.items(), SITES)
        for name in tracked(folder)
    }
    there = names_in(wheel)
    assert sorted(wanted - there) == []
    # Neither tests nor docs belong to it.
    assert [name for name in sorted(there - wanted) if ".dist-info/" not in name] == []
    assert {"minkgen/recipes/paper.yaml", "minkgen/sites/template.yaml"} <= there


def test_the_wheel_of_the_sdist_is_that_of_the_checkout(
    checkout: Path, wheel: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "builder", with_pip=True, symlinks=True)
    programs = tmp_path / "builder" / "bin"
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
    backend = "from setuptools import build_meta; import sys; build_meta.build_sdist(sys.argv[1])"
    for command in (
        [programs / "pip", "install", "--quiet", *needed],
        [programs / "python", "-c", backend, tmp_path],
    ):
        subprocess.run(command, cwd=checkout, check=True, capture_output=True)  # noqa: S603
    (sdist,) = tmp_path.glob("minkgen-*.tar.gz")
    again = build_wheel(sdist, tmp_path)
    assert names_in(again) == names_in(wheel)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of a new environment that holds the wheel without its extras."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True, symlinks=True)
    # Byte code of 70 packages costs ten seconds, most of it for modules that nobody loads here.
    pip = (str(folder / "bin" / "pip"), "install", "--quiet", "--no-compile")
    pins = ("--constraint", str(ROOT / "constraints.txt"))
    subprocess.run([*pip, *pins, str(wheel)], check=True)  # noqa: S603
    return folder / "bin"


def test_help_and_versions_of_a_clean_environment(installed: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    told = run(installed / "minkgen", "--help", folder=tmp_path, home=home)
    assert (told.returncode, told.stderr) == (0, "")
    assert "minkgen demo" in told.stdout
    versions = run(installed / "minkgen", "--version", folder=tmp_path, home=home)
    assert versions.stdout.startswith(f"minkgen {version('minkgen')}\n")
    assert "torch not installed" in versions.stdout.splitlines()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert not list(home.iterdir())


def test_the_library_of_a_clean_environment(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "python", "-c", LIBRARY, folder=tmp_path, home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "('y', 'x') (512, 640)\nTrue True\n"


@pytest.mark.parametrize(
    "command", ["demo", "train emulator demo", "train sr demo", "evaluate emulator demo"]
)
def test_what_needs_torch_names_the_extra(installed: Path, tmp_path: Path, command: str) -> None:
    done = run(installed / "minkgen", *command.split(), folder=tmp_path, home=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert 'next: pip install "minkgen[train]"' in done.stderr
    assert not list(tmp_path.iterdir())
