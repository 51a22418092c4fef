"""`minkgen evaluate`: scores, tables and figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from minkgen.cli.extras import require_extra
from minkgen.cli.main import DONE
from minkgen.cli.options import output_options, recipe_command
from minkgen.cli.render import show_progress, show_result

if TYPE_CHECKING:
    from minkgen.recipe import Recipe
    from minkgen.workflows.evaluate import EvaluateResult


@click.group(name="evaluate", short_help="Score surrogates of γ and super-resolution.")
def command() -> None:
    """Score surrogates of γ, or models of super-resolution, on the store's current snapshot.

    Results of the same snapshot, split, settings and surrogates or models go into one folder of the
    store's runs: JSON, and the text, tables and pictures made from it.
    """


def _split_option(taken: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--split",
        type=click.Choice(["test", "validation", "train"]),
        default="test",
        show_default=True,
        help=f"The split whose {taken} are taken.",
    )


def _subject_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--split` and `--surrogate`."""
    surrogate = click.option(
        "--surrogate",
        "surrogates",
        multiple=True,
        metavar="NAME",
        help="A surrogate to include: exact, analytical, pcr, or an architecture such as "
        "lip-cnn-constrained; may be given several times. By default all that are there.",
    )
    return _split_option("wet tiles")(surrogate(function))


@command.command(name="emulator")
@recipe_command("store")
@_subject_options
@output_options
def emulator(recipe: Recipe, **options: Any) -> int:
    """Score surrogates: the table, γ curves, fidelity of gradients, and speed.

    \b
    Example:
      minkgen evaluate emulator evening.yaml --store store
    """
    require_extra("train")
    from minkgen.workflows.evaluate import evaluate_emulator

    return _run(evaluate_emulator, recipe, **options)


@command.command(name="inversion")
@recipe_command("store")
@_subject_options
@output_options
def inversion(recipe: Recipe, **options: Any) -> int:
    """Lead noise to the γ of some tiles, by the gradients of every surrogate.

    \b
    Example:
      minkgen evaluate inversion evening.yaml --store store --surrogate exact
    """
    require_extra("train")
    from minkgen.workflows.evaluate import evaluate_inversion

    return _run(evaluate_inversion, recipe, **options)


@command.command(name="mechanism")
@recipe_command("store")
@_subject_options
@output_options
def mechanism(recipe: Recipe, **options: Any) -> int:
    """Scale one cell of a synthetic field and show what every surrogate notices.

    \b
    Example:
      minkgen evaluate mechanism evening.yaml --store store
    """
    require_extra("train")
    from minkgen.workflows.evaluate import evaluate_mechanism

    return _run(evaluate_mechanism, recipe, **options)


@command.command(name="sr")
@recipe_command("store")
@_split_option("tiles, dry ones too,")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="A model to include: interpolation, unet, ddpm or flow, with its geometric loss where it "
    "has one, such as unet-exact; may be given several times. By default all that are there.",
)
@click.option(
    "--redraw",
    is_flag=True,
    help="Score nothing: make text and pictures again from what the last run saved.",
)
@output_options
def super_resolution(recipe: Recipe, **options: Any) -> int:
    """Score super-resolution: the table, spectra, γ, SAL, and fields of chosen storms.

    Models are those of the recipe's section superres, of its seed and the seeds after it.

    \b
    Examples:
      minkgen evaluate sr evening.yaml --store store
      minkgen evaluate sr evening.yaml --model interpolation --model unet-exact
    """
    require_extra("train")
    from minkgen.workflows.evaluate import evaluate_superres

    return _run(evaluate_superres, recipe, **options)


def _run(
    evaluate: Callable[..., EvaluateResult],
    recipe: Recipe,
    *,
    as_json: bool,
    quiet: bool,
    **chosen: Any,
) -> int:
    with show_progress(quiet=quiet) as progress:
        result = evaluate(recipe, **chosen, progress=progress)
    summary = {"folder": str(result.folder), "figure": str(result.figure), **result.content}
    show_result(
        summary,
        lambda: f"{result.text}\n\n{result.folder}\n  picture: {result.figure}",
        as_json=as_json,
    )
    return DONE
