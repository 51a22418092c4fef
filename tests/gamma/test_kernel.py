"""Parts of the kernel against plain twins, and the freshness of its cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import minkgen
from minkgen.gamma.kernel import background, encoding, levels, scratch
from minkgen.gamma.kernel.compiled import as_kernel_input
from minkgen.gamma.neighbourhoods import NEIGHBOURHOODS

WORDS = st.integers(0, 2**64 - 1)


@settings(deadline=None)
@given(word=WORDS.filter(bool))
def test_lowest_bit(word: int) -> None:
    expected = f"{word:b}"[::-1].index("1")
    assert background._lowest_bit(np.uint64(word)) == expected


@settings(deadline=None)
@given(mask=WORDS, seeds=WORDS)
def test_runs_that_hold_a_seed_are_filled(mask: int, seeds: int) -> None:
    seeds &= mask
    runs = f"{mask:064b}".split("0")
    place, expected = 0, ""
    for run in runs:
        seeded = "1" in f"{seeds:064b}"[place : place + len(run)]
        expected += ("1" if seeded else "0") * len(run) + "0"
        place += len(run) + 1
    filled = background._fill_runs(np.uint64(mask), np.uint64(seeds))
    assert f"{int(filled):064b}" == expected[:64]


@settings(deadline=None)
@given(
    numbers=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2),
)
def test_keys_are_ordered_as_the_values(numbers: list[float]) -> None:
    values = np.array([numbers], np.float32) + np.float32(0)
    place = scratch.allocate(1, len(numbers), NEIGHBOURHOODS)
    encoding.load(as_kernel_input(values), place.keys, place.dry)
    encoding.restore_dry(place.keys, place.background)
    keys = place.keys.reshape(3, -1)[1, 1:-1]
    assert [encoding.value_of(key) for key in keys] == values[0].tolist()
    by_key, by_value = (
        np.sign(np.subtract.outer(x, x)) for x in (keys.astype(float), values[0].astype(float))
    )
    np.testing.assert_array_equal(by_key, by_value)


@settings(deadline=None)
@given(
    thresholds=st.lists(
        st.floats(2.0**-149, 2.0**100, width=32), min_size=1, max_size=40, unique=True
    ),
    values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1),
)
def test_levels_count_the_thresholds_that_are_reached(
    thresholds: list[float], values: list[float]
) -> None:
    grid = np.sort(np.array(thresholds, np.float32))
    prepared = levels.prepare_levels(as_kernel_input(grid), 1)
    for value in np.concatenate([grid, np.nextafter(grid, np.float32(0)), np.float32(values)]):
        bits = value.view(np.int32)
        key = bits if bits >= 0 else np.int32(bits ^ 0x7FFFFFFF)
        assert levels.level_of(key, prepared) == (grid <= value).sum()


@pytest.mark.parametrize("width", [1, 2, 63, 64, 65, 127, 128, 129, 200])
@pytest.mark.parametrize("wet_share", [0.1, 0.4, 0.6])
def test_background_is_dry_ground_that_reaches_the_frame(width: int, wet_share: float) -> None:
    wet = np.random.default_rng(width).random((40, width)) < wet_share
    place = scratch.allocate(40, width, NEIGHBOURHOODS)
    encoding.load(as_kernel_input(wet.astype(np.float32)), place.keys, place.dry)
    background.flood(place.dry, place.frame, place.background)
    runs = background.find_runs(width, place)

    bits = np.unpackbits(place.background.view(np.uint8), axis=1, bitorder="little")[:, :width]
    marked = bits.astype(bool)
    labels, _ = ndimage.label(np.pad(~wet, 1, constant_values=True))
    reached = (labels == labels[0, 0])[1:-1, 1:-1]
    assert not (marked & ~reached).any(), "what is marked is dry and reaches the frame"
    assert (marked & reached).sum() >= 0.5 * reached.sum()
    on_frame = np.pad(np.zeros((38, max(width - 2, 0)), bool), 1, constant_values=True)
    assert marked[(on_frame[:40, :width]) & ~wet].all()

    active = np.zeros((42, width + 2), bool)
    for first, stop in zip(place.first[:runs], place.stop[:runs], strict=True):
        assert not active.flat[first:stop].any()
        active.flat[first:stop] = True
    np.testing.assert_array_equal(active[1:-1, 1:-1], ~marked)
    keys = place.keys.reshape(42, -1)[1:-1, 1:-1]
    np.testing.assert_array_equal(keys == scratch.OUTSIDE, marked)


@pytest.mark.slow
def test_a_change_in_any_file_of_the_kernel_is_compiled(tmp_path: Path) -> None:
    """Numba alone would go on with the machine code of before: `batches` has not changed."""
    package = tmp_path / "minkgen"
    shutil.copytree(
        Path(minkgen.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    script = (
        "import numpy as np\n"
        "from minkgen.gamma.matrix import gamma_matrix\n"
        "print(gamma_matrix(np.ones((2, 2), np.float32), [0.5], pixel_km=1.0)[:, 0].tolist())"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
    }

    def run() -> str:
        return subprocess.run(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-c", script],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    before = run()
    geometry = package / "gamma" / "kernel" / "geometry.py"
    text = geometry.read_text()
    assert text.count("3 * three + 4 * four) / 4") == 1
    geometry.write_text(text.replace("3 * three + 4 * four) / 4", "3 * three + 8 * four) / 4"))
    assert before.startswith("[4.0, ")
    assert run().startswith("[5.0, ")
