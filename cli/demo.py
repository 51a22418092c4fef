"""`minkgen demo`: the whole way on synthetic rain."""

from __future__ import annotations

import json
from pathlib import Path

import click

from minkgen.cli.extras import require_extra
from minkgen.cli.main import DONE
from minkgen.cli.options import output_options
from minkgen.cli.render import show_progress, show_result
from minkgen.cli.train import SCORE_OF_MEANS, describe


@click.command(name="demo", short_help="The whole way on synthetic rain, offline.")
@click.option(
    "--recipe",
    "name",
    default="demo",
    show_default=True,
    metavar="RECIPE",
    help="A shipped recipe, or a file; its rain is made up.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-run"),
    show_default=True,
    help="Where archive and store are put.",
)
@output_options
def command(name: str, folder: Path, *, as_json: bool, quiet: bool) -> int:
    """Take made-up rain the whole way: archive, store, γ, emulator, super-resolution, scores.

    Offline, on two cores in about three minutes. A second run keeps the store and the trained
    networks, and scores them again.

    \b
    Example:
      minkgen demo --folder /tmp/demo
    """
    require_extra("train")
    from minkgen.recipe_file import load_recipe, shipped_recipes
    from minkgen.workflows.demo import run_demo

    archive = folder / "archive"
    places = {"store": folder / "store", "source.path": archive}
    settings = [f"{key}={json.dumps(str(place))}" for key, place in places.items()]
    recipe = load_recipe(name, settings)
    with show_progress(quiet=quiet) as progress:
        result = run_demo(recipe, archive, progress)

    def text() -> str:
        return "\n".join(
            (
                result.evaluate.text,
                "",
                result.evaluate_superres.text,
                "",
                "Synthetic rain, small networks, minutes of training: the way, not a result.",
                "",
                f"recipe     {shipped_recipes().get(name, name)}",
                f"archive    {archive}",
                f"store      {recipe.store}  ({result.ingest.states['ok']} composites)",
                f"snapshot   {result.compute.snapshot}",
                f"run        {describe(result.train)}",
                f"scores     {result.evaluate.folder}",
                f"picture    {result.evaluate.figure}",
                f"run        {describe(result.train_superres, SCORE_OF_MEANS)}",
                f"scores     {result.evaluate_superres.folder}",
                f"picture    {result.evaluate_superres.figure}",
            )
        )

    summary = {
        "store": str(recipe.store),
        "snapshot": str(result.compute.snapshot),
        "run": str(result.train.run),
        "folder": str(result.evaluate.folder),
        "figure": str(result.evaluate.figure),
        **result.evaluate.content,
        "superres": {
            "run": str(result.train_superres.run),
            "folder": str(result.evaluate_superres.folder),
            "figure": str(result.evaluate_superres.figure),
            **result.evaluate_superres.content,
        },
    }
    show_result(summary, text, as_json=as_json)
    return DONE
