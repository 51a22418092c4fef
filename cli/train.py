"""`minkgen train`: surrogates of γ from a published snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from minkgen.cli.extras import require_extra
from minkgen.cli.main import DONE
from minkgen.cli.options import output_options, recipe_command
from minkgen.cli.render import show_progress, show_result

if TYPE_CHECKING:
    from minkgen.recipe import Recipe
    from minkgen.workflows.train import TrainResult
    from minkgen.workflows.tune import TuneResult


@click.group(name="train", short_help="Train a surrogate of γ.")
def command() -> None:
    """Train a surrogate of γ on the store's current snapshot."""


@command.command(name="emulator")
@recipe_command("store", "arch")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Train N runs, with the recipe's emulator.seed and the numbers after it.",
)
@click.option(
    "--tune",
    "trials",
    type=click.IntRange(min=1),
    metavar="N",
    help="Search for learning rate, weight decay and input noise in N trials, runs of their own.",
)
@click.option(
    "--devices",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="GPUs of this machine to share every batch; processes where there is none. Among the "
    "tasks of an srun: 1, all tasks share it.",
)
@output_options
def emulator(
    recipe: Recipe, *, seeds: int, trials: int | None, devices: int, as_json: bool, quiet: bool
) -> int:
    """Train a network that emulates γ on the store's current snapshot.

    A run's folder is named by snapshot and settings. SIGUSR1 and SIGTERM end it after the running
    batch with a checkpoint (exit status 138, 143), a kill loses what came after the last whole
    epoch. The same command goes on from there, with the same result as if nothing had been; a
    finished run is left as it is.

    \b
    Examples:
      minkgen train emulator evening.yaml --store store --set emulator.epochs=30
      minkgen train emulator evening.yaml --arch cnn --seeds 3
      minkgen train emulator evening.yaml --devices 4 --set emulator.precision=bf16-mixed
      minkgen train emulator evening.yaml --tune 20
    """
    if trials is not None and seeds > 1:
        raise click.UsageError("--tune searches with one seed: train --seeds with what it finds")
    require_extra("train")
    with show_progress(quiet=quiet) as progress:
        if trials is not None:
            from minkgen.workflows.tune import tune_emulator

            tuned = tune_emulator(recipe, trials, devices=devices, progress=progress)
            summary = {**vars(tuned), "folder": str(tuned.folder), "run": str(tuned.run)}
            text, rank = _tuned_text(tuned), 0
        else:
            from minkgen.workflows.train import train_seeds

            results = train_seeds(recipe, seeds, devices=devices, progress=progress)
            summary = {"runs": [_run(result) for result in results]}
            text, rank = "\n".join(map(describe, results)), results[0].rank
    if rank == 0:
        show_result(summary, lambda: text, as_json=as_json)
    return DONE


def _run(result: TrainResult) -> dict[str, Any]:
    return {"run": str(result.run), "snapshot": result.snapshot, **vars(result.summary)}


def _tuned_text(tuned: TuneResult) -> str:
    settings = " ".join(
        f"--set emulator.{name}={value:g}" for name, value in tuned.settings.items()
    )
    return (
        f"{tuned.folder}: {tuned.trials} trials\n"
        f"  best: L_M {tuned.best_loss:.2f} on the validation split, {tuned.run}\n  {settings}"
    )


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
