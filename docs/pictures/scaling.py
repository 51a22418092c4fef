"""Simulate the whole archive on many cores, for docs/scaling.md; writes docs/images/scaling.png.

    minkgen compute RECIPE --dry-run --json > plan.json
    python docs/pictures/scaling.py plan.json --frames F --task-ms T

The plan holds measured seconds of one core by stage, for the samples of F frames. A part is given
out by the scheduler (one at a time, T ms each), reads from the file system and writes to it (shared
by all, so many MB/s), and computes on its own core. The simulation follows every part.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from matplotlib.figure import Figure

IMAGES = Path(__file__).parent.parent / "images"
CORES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# 2012-01-01 to 2026-11-01, without the 114 empty days and the month of 2012.
FRAMES = (5418 - 114 - 29) * 96
SAMPLES_PER_PART = 4096
FRAME_MEGABYTES = 1.0
BLUE, GREY = "#0072B2", "#8C8C8C"


@dataclass(frozen=True)
class Part:
    """What one part asks for: seconds of its core, and megabytes from and to the file system."""

    core_seconds: float
    read_megabytes: float
    write_megabytes: float


def measured_part(plan: dict[str, Any], frames: int) -> tuple[Part, int]:
    """Return the average part, and how many of them the archive has."""
    samples = sum(plan["rows"].values())
    parts = math.ceil(FRAMES * samples / frames / SAMPLES_PER_PART)
    share = SAMPLES_PER_PART / samples
    return (
        Part(
            core_seconds=share * sum(plan["core_seconds"].values()),
            read_megabytes=share * frames * FRAME_MEGABYTES,
            write_megabytes=share * plan["write_bytes"] / 1e6,
        ),
        parts,
    )


def hours(part: Part, parts: int, cores: int, task_seconds: float, megabytes_s: float) -> float:
    """Return how long so many equal parts take on so many cores."""
    free = [0.0] * cores
    scheduler = disk = 0.0
    for _ in range(parts):
        ready = heapq.heappop(free)
        scheduler = max(scheduler, ready) + task_seconds
        disk = max(disk, scheduler) + part.read_megabytes / megabytes_s
        computed = disk + part.core_seconds
        # What is written waits in the page cache, and takes its share of the same file system.
        disk += part.write_megabytes / megabytes_s
        heapq.heappush(free, computed)
    return max(*free, disk) / 3600


def draw(lines: dict[str, Sequence[float]], path: Path) -> None:
    """Draw hours over cores, one line for each file system, and the ideal."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    one = next(iter(lines.values()))[0]
    axes.loglog(
        CORES, [one / cores for cores in CORES], "--", color=GREY, label="one core, divided"
    )
    for (label, values), marker in zip(lines.items(), "os^", strict=False):
        axes.loglog(CORES, values, f"{marker}-", color=BLUE, label=label, fillstyle="none")
    axes.set(xlabel="cores", ylabel="hours", xticks=CORES, xticklabels=map(str, CORES))
    axes.minorticks_off()
    axes.grid(visible=True, color="#E5E5E5")
    axes.legend(frameon=False)
    figure.savefig(path)


@click.command()
@click.argument("plan", type=click.Path(path_type=Path, exists=True))
@click.option("--frames", type=int, required=True, help="That the plan's samples come from.")
@click.option("--task-ms", type=float, required=True, help="Of the scheduler, for each part.")
@click.option("--megabytes-s", type=float, multiple=True, default=[200.0, 1000.0, 5000.0])
def main(plan: Path, frames: int, task_ms: float, megabytes_s: Sequence[float]) -> None:
    """Simulate, print the table, draw the picture."""
    part, parts = measured_part(json.loads(plan.read_text(encoding="utf-8")), frames)
    click.echo(f"{FRAMES} frames, {parts} parts of {SAMPLES_PER_PART} samples")
    click.echo(
        f"a part: {part.core_seconds:.1f} s of a core, {part.read_megabytes:.0f} MB read, "
        f"{part.write_megabytes:.0f} MB written, {task_ms:g} ms of the scheduler"
    )
    lines = {
        f"file system of {rate:g} MB/s": [
            hours(part, parts, cores, task_ms / 1e3, rate) for cores in CORES
        ]
        for rate in megabytes_s
    }
    click.echo("| cores | " + " | ".join(lines) + " |")
    click.echo("| --- " * (1 + len(lines)) + "|")
    for index, cores in enumerate(CORES):
        cells = " | ".join(f"{values[index]:.2f} h" for values in lines.values())
        click.echo(f"| {cores} | {cells} |")
    draw(lines, IMAGES / "scaling.png")


if __name__ == "__main__":
    main()
