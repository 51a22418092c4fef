"""`compute` with parts that take their time, for faults in their midst: a program of the tests.

Arguments: a recipe, seconds to wait after each shard, and a folder for marks. A mark is named by
the job, and holds its node and the shard that was written.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from minkgen.recipe_file import load_recipe
from minkgen.workflows import compute as compute_module
from minkgen.workflows.parts import PartDone, PartTask

PAUSE_SECONDS, MARKS = 0.0, ""


def slow_part(task: PartTask) -> PartDone:
    """Compute a part, and wait after each shard; runs on a worker, which gets it by value."""
    from minkgen.workflows import parts

    write_part = parts.write_part

    def write_and_wait(staging: Path, part: Any, name: str, values: Any) -> None:
        write_part(staging, part, name, values)
        node = os.environ["SLURMD_NODENAME"]
        mark = Path(MARKS, os.environ["SLURM_JOB_ID"])
        mark.with_suffix(".new").write_text(f"{node} {part} {name}", encoding="utf-8")
        mark.with_suffix(".new").replace(mark)
        time.sleep(PAUSE_SECONDS)

    parts.write_part = write_and_wait
    try:
        return parts.compute_part(task)
    finally:
        parts.write_part = write_part


if __name__ == "__main__":
    PAUSE_SECONDS, MARKS = float(sys.argv[2]), sys.argv[3]
    compute_module.compute_part = slow_part
    compute_module.compute(load_recipe(sys.argv[1]))
