"""What a process spends before its first γ-matrix: seconds and memory, cold and warm."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from minkgen.errors import MinkgenError

__all__ = ["Start", "measure_start"]

_WARM_STARTS = 3
_STATUS = Path("/proc/self/status")


class Start(NamedTuple):
    """Seconds, and megabytes of resident memory (None where the system does not tell).

    Attributes
    ----------
    import_seconds : float
        Importing NumPy, numba and `minkgen.gamma.matrix`, median of warm processes.
    warm_seconds, warm_added_mb : float
        The first γ-matrix with a filled numba cache: how long, and how much the peak grew above
        the imports; medians.
    cold_seconds, cold_peak_mb : float
        The first γ-matrix with an empty cache, which compiles: how long, and the process's peak.
    """

    import_seconds: float
    warm_seconds: float
    warm_added_mb: float | None
    cold_seconds: float
    cold_peak_mb: float | None


def measure_start() -> Start:
    """Start processes with an empty numba cache directory, then with the one that the first filled.

    Returns
    -------
    Start

    Raises
    ------
    MinkgenError
        If such a process fails.
    """
    with tempfile.TemporaryDirectory(prefix="minkgen-bench-") as cache:
        cold = _start_once(cache)
        warm = [_start_once(cache) for _ in range(_WARM_STARTS)]
    measured = cold["first_mb"] is not None
    return Start(
        import_seconds=statistics.median(one["import_seconds"] for one in warm),
        warm_seconds=statistics.median(one["first_seconds"] for one in warm),
        warm_added_mb=statistics.median(one["first_mb"] - one["import_mb"] for one in warm)
        if measured
        else None,
        cold_seconds=cold["first_seconds"],
        cold_peak_mb=cold["first_mb"],
    )


def _start_once(cache: str) -> dict[str, Any]:
    code = f"from {__name__} import report_start; report_start()"
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise MinkgenError("a process that was to compute γ failed", got=done.stderr.strip())
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def report_start() -> None:
    """Import, compute γ of one tile, and write what both took to stdout as JSON."""
    begin = time.perf_counter()
    import numba  # noqa: F401 - timed as part of the imports
    import numpy as np

    from minkgen.gamma.matrix import gamma_matrix

    imported, import_mb = time.perf_counter(), _peak_mb()
    tile = np.random.default_rng(0).uniform(0.0, 10.0, (128, 128)).astype(np.float32)
    begin_first = time.perf_counter()
    gamma_matrix(tile, [0.1, 1.0, 10.0], pixel_km=2.0)
    report = {
        "import_seconds": imported - begin,
        "import_mb": import_mb,
        "first_seconds": time.perf_counter() - begin_first,
        "first_mb": _peak_mb(),
    }
    sys.stdout.write(json.dumps(report))


def _peak_mb() -> float | None:
    """Return the peak of this process's resident memory in MB (1e6 bytes).

    Linux hands `ru_maxrss` of the parent down to a child, so that it tells nothing about a small
    child of a large process; `VmHWM` begins anew with every program.
    """
    if not _STATUS.exists():
        return None
    match = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"))
    return None if match is None else int(match[1]) * 1024 / 1e6
