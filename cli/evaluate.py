"""`minkgen evaluate`: scores, tables and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from minkgen.cli.extras import require_extra
from minkgen.cli.main import DONE
from minkgen.cli.options import output_options, recipe_command
from minkgen.cli.render import show_progress, show_result

if TYPE_CHECKING:
    from minkgen.recipe import Recipe


@click.group(name="evaluate", short_help="Score a surrogate of γ.")
def command() -> None:
    """Score a trained surrogate on the store's current snapshot."""


@command.command(name="emulator")
@recipe_command("store")
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train"]),
    default="test",
    show_default=True,
    help="The split whose wet tiles are scored.",
)
@output_options
def emulator(recipe: Recipe, *, split: str, as_json: bool, quiet: bool) -> int:
    """Score the recipe's emulator: a table (text, CSV, JSON) and the γ-curve figure.

    \b
    Example:
      minkgen evaluate emulator evening.yaml --store store
    """
    require_extra("train")
    from minkgen.workflows.evaluate import evaluate_emulator

    with show_progress(quiet=quiet) as progress:
        result = evaluate_emulator(recipe, split=split, progress=progress)
    summary = {"folder": str(result.folder), "figure": str(result.figure), **result.scores}
    show_result(
        summary,
        lambda: f"{result.table}\n\n{result.folder}\n  picture: {result.figure}",
        as_json=as_json,
    )
    return DONE
