"""`minkgen rebuild`: ingest, compute and publish what is new; made for schedulers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from minkgen.cli.main import DONE, PARTLY
from minkgen.cli.options import output_options, recipe_command
from minkgen.cli.render import show_progress, show_result

if TYPE_CHECKING:
    from minkgen.recipe import Recipe


@click.command(name="rebuild", short_help="Ingest, compute and publish what is new.")
@recipe_command("source", "store", "cluster", "site", "workers")
@click.option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Append one line of JSON per run to FILE; rebuilds.jsonl in the store by default.",
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long for another process that works on the store; refuse at once by default.",
)
@output_options
def command(recipe: Recipe, *, log: Path | None, wait: float, as_json: bool, quiet: bool) -> int:
    """Fetch new and formerly failed composites of RECIPE's period, and publish what they change.

    Made for a scheduler: where nothing is new, nothing is published, and the exit status is 0.
    Thresholds and floors are fitted anew, unless the recipe's climate_from names a snapshot whose
    they shall stay.

    \b
    Example:
      minkgen rebuild evening.yaml --store store --log rebuilds.jsonl
    """
    from minkgen.workflows.rebuild import rebuild

    with show_progress(quiet=quiet) as progress:
        result = rebuild(recipe, log, progress, wait_seconds=wait)
    fetched, made = result.ingest, result.compute

    def text() -> str:
        done = "published" if result.published else "nothing new, still"
        return "\n".join(
            (
                f"{recipe.store}: {fetched.newly_ok} new composites; {done} {made.snapshot.stem}",
                *(f"  {line}" for line in fetched.newly_bad),
            )
        )

    summary = {
        "store": str(recipe.store),
        "published": result.published,
        "snapshot": str(made.snapshot),
        "newly_ok": fetched.newly_ok,
        "newly_bad": list(fetched.newly_bad),
        "states": fetched.states,
        "rows": made.rows,
        "parts": made.parts,
        "linked": made.linked,
    }
    show_result(summary, text, as_json=as_json)
    return PARTLY if fetched.newly_bad else DONE
