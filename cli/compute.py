"""`minkgen compute`: composites to a published snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from minkgen.cli.main import DONE
from minkgen.cli.options import output_options, recipe_command
from minkgen.cli.render import show_progress, show_result

if TYPE_CHECKING:
    from minkgen.recipe import Recipe


@click.command(name="compute", short_help="Cut tiles, compute γ, publish a snapshot.")
@recipe_command("store", "workers")
@click.option(
    "--new-version",
    is_flag=True,
    help="Let a recipe that differs from the current snapshot's replace it as `current`.",
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long for another process that builds a snapshot; refuse at once by default.",
)
@output_options
def command(recipe: Recipe, *, new_version: bool, wait: float, as_json: bool, quiet: bool) -> int:
    """Cut the store's composites into tiles, compute their γ-matrices, publish a snapshot.

    Thresholds and persistence floors come from the training split alone. The snapshot is named by
    the hash of everything that decided its numbers; where it exists already, nothing is computed,
    and shards that an earlier snapshot holds are linked.

    \b
    Example:
      minkgen compute evening.yaml --store store
    """
    from minkgen.workflows.compute import compute

    with show_progress(quiet=quiet) as progress:
        result = compute(recipe, progress, new_version=new_version, wait_seconds=wait)

    def text() -> str:
        rows = ", ".join(
            f"{split} {count} ({result.dry[split]} dry)" for split, count in result.rows.items()
        )
        low, high = result.thresholds[0], result.thresholds[-1]
        floors = ", ".join(f"{name} {floor:.4g}" for name, floor in result.floors.items())
        done = f"{result.parts} parts computed, {result.linked} linked"
        made = done if result.parts or result.linked else "already complete"
        damaged = [f"  damaged in an earlier snapshot: {path}" for path in result.damaged]
        return "\n".join(
            (
                f"{result.snapshot}: {made}",
                f"  samples: {rows}",
                f"  thresholds: {len(result.thresholds)} from {low:.4g} to {high:.4g} mm/h",
                f"  persistence floors in mm/h: {floors}",
                *damaged,
            )
        )

    summary = {
        "snapshot": str(result.snapshot),
        "rows": result.rows,
        "dry": result.dry,
        "thresholds": list(result.thresholds),
        "floors": result.floors,
        "parts": result.parts,
        "linked": result.linked,
        "damaged": [str(path) for path in result.damaged],
    }
    show_result(summary, text, as_json=as_json)
    return DONE
