"""The oracle table must fail on a kernel that is broken on purpose."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import minkgen

pytestmark = pytest.mark.slow

TABLE = Path(__file__).parent / "test_oracle_table.py"

# What takes a second or two: small fields with ties, off the grid, negative, missing, on the frame.
FIELDS = [
    "integers, small",
    "rain, small",
    "plateaus, small",
    "checkerboard of random depths",
    "both signs, integers",
    "N x 1",
    "ring closed by a diagonal",
    "NaN and infinities",
    "closed spiral of zeros, 21 x 21",
]
SETTINGS = ["usual", "floors", "background"]

ALL_TESTS_PASSED, SOME_TESTS_FAILED = 0, 1


class Mutant(NamedTuple):
    """One fault: texts, each of which occurs once in the file, and what stands there instead."""

    file: str
    changes: dict[str, str]


MUTANTS = {
    "> for >= at thresholds": Mutant(
        "gamma/kernel/levels.py",
        {
            "keys[level] <= entry": "keys[level] < entry",
            "(thresholds[level] <= key)": "(thresholds[level] < key)",
            "while thresholds[level] <= key": "while thresholds[level] < key",
        },
    ),
    "the younger component lives": Mutant(
        "gamma/kernel/merging.py",
        {"if _is_lower(elder, younger, keys)": "if not _is_lower(elder, younger, keys)"},
    ),
    "the younger dry region lives": Mutant(
        "gamma/kernel/merging.py",
        {"if _is_lower(younger, elder, keys)": "if not _is_lower(younger, elder, keys)"},
    ),
    "a tie broken otherwise in the east": Mutant(
        "gamma/kernel/encoding.py", {"(east[i] >= key)": "(east[i] > key)"}
    ),
    "a tie broken otherwise in the north-west": Mutant(
        "gamma/kernel/encoding.py", {"(north_west[i] > key)": "(north_west[i] >= key)"}
    ),
    ">= for > at the floor": Mutant(
        "gamma/kernel/merging.py",
        {"value_of(keys[death]) > epsilon": "value_of(keys[death]) >= epsilon"},
    ),
    "rain is 4-connected": Mutant(
        "gamma/neighbourhoods.py",
        {
            "max(abs(a[0] - b[0]), abs(a[1] - b[1])) == 1": (
                "abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1"
            )
        },
    ),
    "dry ground is 8-connected": Mutant(
        "gamma/neighbourhoods.py",
        {
            "return abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1": (
                "return max(abs(a[0] - b[0]), abs(a[1] - b[1])) == 1"
            )
        },
    ),
    "dry ground leads to the frame across corners": Mutant(
        "gamma/kernel/background.py",
        {
            "(background[row - 1, word] |": (
                "(background[row - 1, word] | (background[row - 1, word] << ONE) |"
            )
        },
    ),
    "open contours closed in the west": Mutant(
        "gamma/kernel/levels.py", {"4 if column == 0": "4 if column < 0"}
    ),
    "infinite values are rain": Mutant(
        "gamma/kernel/encoding.py", {"bits = np.int32(0)": "bits = EXPONENT_BITS"}
    ),
    "the essential class is no background at 0.01": Mutant(
        "gamma/matrix.py",
        {'(thresholds, ceiling, side="right")': '(thresholds, ceiling, side="left")'},
    ),
}


def _run_table(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a part of the table with the package that lies in the folder."""
    tests = [
        f"{TABLE}::test_gamma_equals_every_twin[{field}-{setting}]"
        for field in FIELDS
        for setting in SETTINGS
    ]
    environment = {
        **os.environ,
        # The first folder of the path is the working directory, but for other options.
        "PYTHONSAFEPATH": "",
        "PYTHONPATH": str(folder),
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        # Compiling takes most of the time. (What is not optimised cannot be cached: a warning.)
        "NUMBA_OPT": "0",
    }
    options = [
        "-x",
        "-q",
        "-W",
        "ignore",
        "-p",
        "no:cacheprovider",
        "--basetemp",
        str(folder / "pytest"),
    ]
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Copy the package, and return the copy."""
    original = Path(minkgen.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(original, tmp_path / "minkgen", ignore=ignored))


def test_the_table_passes_on_the_unchanged_kernel(package: Path) -> None:
    done = _run_table(package.parent)
    assert done.returncode == ALL_TESTS_PASSED, done.stdout


@pytest.mark.parametrize("name", MUTANTS)
def test_the_table_fails_on_a_broken_kernel(name: str, package: Path) -> None:
    mutant = MUTANTS[name]
    file = package / mutant.file
    source = file.read_text(encoding="utf-8")
    for original, changed in mutant.changes.items():
        assert source.count(original) == 1, f"{original!r} is not there once"
        source = source.replace(original, changed)
    file.write_text(source, encoding="utf-8")
    done = _run_table(package.parent)
    assert done.returncode == SOME_TESTS_FAILED, done.stdout
    assert "Not equal to tolerance" in done.stdout
