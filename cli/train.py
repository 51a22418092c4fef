"""`minkgen train`: surrogates of γ and models of super-resolution from a published snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

# What the best epoch of a mean field is chosen by.
SCORE_OF_MEANS = "MAE ratio + L_M ratio"


@click.group(name="train", short_help="Train surrogates of γ, and super-resolution.")
def command() -> None:
    """Train a surrogate of γ, or a model of super-resolution, on the store's current snapshot.

    A run's folder is named by snapshot and settings. SIGUSR1 and SIGTERM end it after the running
    batch with a checkpoint (exit status 138, 143), a kill loses what came after the last whole
    epoch. The same command goes on from there, with the same result as if nothing had been; a
    finished run is left as it is.
    """


def _seeds_option(section: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--seeds",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        metavar="N",
        help=f"Train N runs, with the recipe's {section}.seed and the numbers after it.",
    )


_devices_option = click.option(
    "--devices",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="GPUs of this machine to share every batch; processes where there is none. Among the "
    "tasks of an srun: 1, all tasks share it.",
)


@command.command(name="emulator")
@recipe_command("store", "arch")
@_seeds_option("emulator")
@click.option(
    "--tune",
    "trials",
    type=click.IntRange(min=1),
    metavar="N",
    help="Search for learning rate, weight decay and input noise in N trials, runs of their own.",
)
@_devices_option
@output_options
def emulator(
    recipe: Recipe, *, seeds: int, trials: int | None, devices: int, as_json: bool, quiet: bool
) -> int:
    """Train a network that emulates γ on the store's current snapshot.

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
            summary, text, rank = _runs(results, "L_M")
    if rank == 0:
        show_result(summary, lambda: text, as_json=as_json)
    return DONE


@command.command(name="sr")
@recipe_command("store", "model", "minkowski")
@_seeds_option("superres")
@_devices_option
@output_options
def superres(recipe: Recipe, *, seeds: int, devices: int, as_json: bool, quiet: bool) -> int:
    """Train a model that brings rain of 25 km back to the store's pixels.

    Beside the model's own loss it lowers the Minkowski image loss, if there is to be one: after
    some epochs, with a weight by the ratio of gradients. A flow needs the unet of the same
    settings, and the loss of an emulator needs the emulator: both are trained first.

    \b
    Examples:
      minkgen train sr rain.yaml --store store --model unet
      minkgen train sr rain.yaml --model unet --minkowski exact --seeds 3
      minkgen train sr rain.yaml --model flow --devices 4
    """
    require_extra("train")
    from minkgen.workflows.superres import train_superres_seeds

    with show_progress(quiet=quiet) as progress:
        results = train_superres_seeds(recipe, seeds, devices=devices, progress=progress)
    kind = SCORE_OF_MEANS if recipe.superres.model == "unet" else "loss"
    summary, text, rank = _runs(results, kind)
    if rank == 0:
        show_result(summary, lambda: text, as_json=as_json)
    return DONE


def _runs(results: Sequence[TrainResult], loss: str) -> tuple[dict[str, Any], str, int]:
    """Return what runs have done for programs and for people, and this process's rank."""
    text = "\n".join(describe(result, loss) for result in results)
    return {"runs": [_run(result) for result in results]}, text, results[0].rank


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


def describe(result: TrainResult, loss: str = "L_M") -> str:
    """Return how a training ended, for people; with the name of what chose the best epoch."""
    summary = result.summary
    if summary.resumed_from >= summary.epochs:
        done = f"finished before, after {summary.epochs} epochs"
    else:
        done = f"{summary.epochs} epochs of {summary.samples} tiles in {summary.seconds:.0f} s"
        if summary.resumed_from:
            done += f", taken up after {summary.resumed_from}"
    score = f"{loss} {summary.best_loss:.4g}"
    best = f"best epoch {summary.best_epoch}: {score} on the validation split"
    return f"{result.run}: {done}\n  {best}"
