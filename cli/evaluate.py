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


@click.group(name="evaluate", short_help="Score surrogates of γ.")
def command() -> None:
    """Score surrogates of γ on the store's current snapshot.

    Results of the same snapshot, split, settings and surrogates go into one folder of the store's
    runs: JSON, and the text, tables and pictures made from it.
    """


def _subject_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--split` and `--surrogate`."""
    split = click.option(
        "--split",
        type=click.Choice(["test", "validation", "train"]),
        default="test",
        show_default=True,
        help="The split whose wet tiles are taken.",
    )
    surrogate = click.option(
        "--surrogate",
        "surrogates",
        multiple=True,
        metavar="NAME",
        help="A surrogate to include: exact, analytical, pcr, or an architecture such as "
        "lip-cnn-constrained; may be given several times. By default all that are there.",
    )
    return split(surrogate(function))


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


def _run(
    evaluate: Callable[..., EvaluateResult],
    recipe: Recipe,
    *,
    split: str,
    surrogates: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    with show_progress(quiet=quiet) as progress:
        result = evaluate(recipe, split=split, surrogates=surrogates, progress=progress)
    summary = {"folder": str(result.folder), "figure": str(result.figure), **result.content}
    show_result(
        summary,
        lambda: f"{result.text}\n\n{result.folder}\n  picture: {result.figure}",
        as_json=as_json,
    )
    return DONE
