"""`minkgen train`: surrogates of γ from a published snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from minkgen.cli.extras import require_extra
from minkgen.cli.main import DONE
from minkgen.cli.options import output_options, recipe_command
from minkgen.cli.render import show_progress, show_result

if TYPE_CHECKING:
    from minkgen.recipe import Recipe
    from minkgen.workflows.train import TrainResult


@click.group(name="train", short_help="Train a surrogate of γ.")
def command() -> None:
    """Train a surrogate of γ on the store's current snapshot."""


@command.command(name="emulator")
@recipe_command("store")
@output_options
def emulator(recipe: Recipe, *, as_json: bool, quiet: bool) -> int:
    """Train the constrained Lipschitz network on the store's current snapshot.

    The run's folder is named by snapshot and settings. An interrupted run is taken up after its
    last whole epoch, with the same result as if it had not been; a finished one is left as it is.

    \b
    Example:
      minkgen train emulator evening.yaml --store store --set emulator.epochs=30
    """
    require_extra("train")
    from minkgen.workflows.train import train_emulator

    with show_progress(quiet=quiet) as progress:
        result = train_emulator(recipe, progress=progress)
    summary = {"run": str(result.run), "snapshot": result.snapshot, **vars(result.summary)}
    show_result(summary, lambda: describe(result), as_json=as_json)
    return DONE


def describe(result: TrainResult) -> str:
    """Return how a training ended, for people."""
    summary = result.summary
    if summary.resumed_from >= summary.epochs:
        done = f"finished before, after {summary.epochs} epochs"
    else:
        done = f"{summary.epochs} epochs of {summary.samples} tiles in {summary.seconds:.0f} s"
        if summary.resumed_from:
            done += f", taken up after {summary.resumed_from}"
    best = f"best epoch {summary.best_epoch}: L_M {summary.best_loss:.2f} on the validation split"
    return f"{result.run}: {done}\n  {best}"
