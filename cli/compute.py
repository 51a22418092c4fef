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
@recipe_command("store", "cluster", "site", "workers")
@click.option(
    "--new-version",
    is_flag=True,
    help="Let a recipe that differs from the current snapshot's replace it as `current`.",
)
@output_options
def command(recipe: Recipe, *, new_version: bool, as_json: bool, quiet: bool) -> int:
    """Cut the store's composites into tiles, compute their γ-matrices, publish a snapshot.

    Thresholds and persistence floors come from the training split alone. The snapshot is named by
    the hash of everything that decided its numbers; where it exists already, nothing is computed.

    \b
    Examples:
      minkgen compute evening.yaml --store store
      minkgen compute paper --cluster slurm --site mine.yaml --workers 32
    """
    from minkgen.workflows.compute import compute

    with show_progress(quiet=quiet) as progress:
        result = compute(recipe, progress, new_version=new_version)

    def text() -> str:
        rows = ", ".join(
            f"{split} {count} ({result.dry[split]} dry)" for split, count in result.rows.items()
        )
        low, high = result.thresholds[0], result.thresholds[-1]
        floors = ", ".join(f"{name} {floor:.4g}" for name, floor in result.floors.items())
        made = f"{result.parts} parts computed" if result.parts else "already complete"
        return "\n".join(
            (
                f"{result.snapshot}: {made}",
                f"  samples: {rows}",
                f"  thresholds: {len(result.thresholds)} from {low:.4g} to {high:.4g} mm/h",
                f"  persistence floors in mm/h: {floors}",
            )
        )

    summary = {
        "snapshot": str(result.snapshot),
        "rows": result.rows,
        "dry": result.dry,
        "thresholds": list(result.thresholds),
        "floors": result.floors,
        "parts": result.parts,
    }
    show_result(summary, text, as_json=as_json)
    return DONE
