"""Warming up: processes that share a cache take turns, and the first one compiles for all."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
from minkgen.gamma.kernel import soft
from minkgen.gamma.kernel.batches import find_pairs, gamma_batch, map_weights
from minkgen.gamma.warm_up import warm_up, warm_up_soft
print("begins", flush=True)
warm_up()
warm_up_soft()
warm_up_soft()
kernels = (find_pairs, gamma_batch, map_weights)
kernels += (soft.pull_back, soft.push_forward, soft.soft_batch, soft.zero_drizzle)
print(sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels))
"""


def start(cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", CODE],
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_two_processes_compile_once(tmp_path: Path) -> None:
    """About a minute: the whole kernel is compiled, every function by one of the two."""
    with start(tmp_path) as first, start(tmp_path) as second:
        compiled = [process.communicate(timeout=500)[0].split()[-1] for process in (first, second)]
    assert sum(map(int, compiled)) == 7


def test_a_process_waits_for_the_one_that_warms_up(tmp_path: Path) -> None:
    """The lock lies beside the files that it guards; whoever dies with it sets the others free."""
    from minkgen.gamma.warm_up import _alone

    with _alone(tmp_path):
        (lock,) = tmp_path.iterdir()
        with lock.open("a") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with lock.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
