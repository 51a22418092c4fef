"""The memory of a day's task, measured on real composites."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest

from minkgen.opera.keys import ArchiveKey
from minkgen.products import PRODUCTS

LIMIT_BYTES = 1_200_000_000
START = datetime(2024, 11, 26, tzinfo=UTC)
WORK = """
import json, re, resource, sys
from datetime import UTC, datetime
from pathlib import Path
from minkgen.grid import GRIDS
from minkgen.opera.fetching.folder import FolderSource
from minkgen.products import PRODUCTS
from minkgen.store.composites import create_composites
from minkgen.store.layout import StorePaths
from minkgen.workflows.ingest_day import DayTask, ingest_day

archive, quantity, grid, frames = sys.argv[1:]
product, start = PRODUCTS[quantity], datetime(2024, 11, 26, tzinfo=UTC)
paths = StorePaths(Path(archive).parent / "store", product.group)
create_composites(paths, GRIDS[grid], (2024, 2024))
times = tuple(start + index * product.step for index in range(int(frames)))
done = ingest_day(DayTask(paths, FolderSource(Path(archive)), start.date(), times))
# Of this process not ru_maxrss, which it has from its parent on Linux.
own = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
decoding = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({"ok": done.states["ok"], "bytes": 1024 * (own + decoding)}))
"""


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("quantity", "grid", "shards"), [("RATE", "opera_2km", 2), ("DBZH", "opera_1km", 3)]
)
def test_a_day_needs_memory_for_one_shard(
    real_archive: Path, tmp_path: Path, quantity: str, grid: str, shards: int
) -> None:
    product = PRODUCTS[quantity]
    frames = product.frames_per_shard * shards
    real = sorted(real_archive.rglob(f"OPERA@20241126*@0@{quantity}.h5"))
    for index in range(frames):
        time = START + index * product.step
        path = tmp_path / "archive" / ArchiveKey(time, quantity).path
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(real[index % len(real)], path)
        with h5py.File(path, "r+") as file:
            for place, prefix in (
                ("what", ""),
                ("dataset1/what", "start"),
                ("dataset1/what", "end"),
            ):
                file[place].attrs[f"{prefix}date"] = np.bytes_(f"{time:%Y%m%d}")
                file[place].attrs[f"{prefix}time"] = np.bytes_(f"{time:%H%M%S}")
    command = [sys.executable, "-c", WORK, str(tmp_path / "archive"), quantity, grid, str(frames)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    told = json.loads(done.stdout)
    assert told["ok"] == frames
    assert told["bytes"] < LIMIT_BYTES
