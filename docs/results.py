"""Write docs/results.md from what `minkgen evaluate` left behind; no number is written by hand.

    python docs/results.py RECIPE FOLDER [RECIPE FOLDER ...]

FOLDER is the folder of an evaluation. Of surrogates, runs/evaluation-... of the store:
`scores.json`, `fidelity.json` and `throughput.json`, and where they are there `inversion.json` and
`mechanism.json`. Of super-resolution, runs/superres-evaluation-...: `superres.json` and
`superres_throughput.json`. Pictures go to docs/images.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
from PIL import Image

from minkgen.evaluate.tables import Table
from minkgen.workflows.evaluate.superres.tables import superres_headline, superres_tables
from minkgen.workflows.evaluate.tables import (
    headline,
    inversion_table,
    mechanism_table,
    score_tables,
)

INTRODUCTION = """# Results

Written by `docs/results.py` from the JSON that
`minkgen evaluate emulator | inversion | mechanism | sr` left behind, with the recipes printed here.
Of super-resolution, [docs/metrics.md](metrics.md) says what each score means and what it sees; L_M
is that of the exact γ of the predicted field. Of surrogates, R2 is on log1p γ unless "physical" is
said, the mean over thresholds and then over functionals; L_M is given with the counting measure
(the paper's equation 2) and with the thresholds' own. Rates of violations of the targets stand
beside those of the surrogates. A tile is unmoved when no output changes by 1 % (of max(|γ|, 1)) as
the cell of its maximum, at the median threshold, is scaled by 1.5.
"""
PICTURES = {
    "gamma_curves.png": "γ of a quiet and of a fragmented tile",
    "fidelity.png": "Fidelity of gradients over the step",
    "fidelity_temperature.png": "Fidelity of gradients by temperature",
    "inversion.png": "Noise led to the γ of tiles, and mean spectra",
    "mechanism.png": "One cell of a synthetic field is scaled",
    "superres_fields.png": "Terrain, truth, low resolution and every model, for chosen storms",
    "superres_spectra.png": "Mean spectra, and their ratio to the truth's",
    "superres_gamma.png": "γ curves and their residuals",
    "superres_sal.png": "Structure, amplitude and location",
    "superres_perception.png": "Perception against distortion",
    "superres_reliability.png": "Reliability of the members of generative models",
}


class Evaluation(NamedTuple):
    """What a section says besides its pictures and its recipe."""

    title: str
    headline: str
    tables: list[Table]


def of_surrogates(folder: Path) -> Evaluation:
    """Read an evaluation of surrogates."""
    content = read(folder / "scores.json")
    tables = score_tables(content, read(folder / "fidelity.json"), read(folder / "throughput.json"))
    for name, table in (("inversion", inversion_table), ("mechanism", mechanism_table)):
        if (folder / f"{name}.json").exists():
            tables.append(table(read(folder / f"{name}.json")))
    return Evaluation(f"surrogates, {content['split']} split", headline(content), tables)


def of_superres(folder: Path) -> Evaluation:
    """Read an evaluation of super-resolution."""
    content = read(folder / "superres.json")
    tables = superres_tables(content, read(folder / "superres_throughput.json"))
    title = f"super-resolution, {content['split']} split"
    return Evaluation(title, superres_headline(content), tables)


def section(recipe: Path, folder: Path, images: Path) -> str:
    """Return the section of one evaluation, and bring its pictures."""
    read_evaluation = of_superres if (folder / "superres.json").exists() else of_surrogates
    evaluation = read_evaluation(folder)
    main, *others = evaluation.tables
    return "\n\n".join(
        [
            f"## {recipe.stem}: {evaluation.title}",
            "\n".join(f"- {line}" for line in evaluation.headline.splitlines()),
            main.as_markdown(),
            *pictures(folder, images, recipe.stem),
            *(table.as_markdown() for table in others),
            f"The recipe, `{recipe.name}`:",
            f"```yaml\n{recipe.read_text().rstrip()}\n```",
        ]
    )


def read(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text())


def pictures(folder: Path, images: Path, recipe: str) -> list[str]:
    """Bring the pictures that are there, and return the lines that show them."""
    lines = []
    for name, title in PICTURES.items():
        if (folder / name).exists():
            target = images / f"results-{recipe}-{name.replace('_', '-')}"
            # 256 colours are enough for figures, at a third of the size.
            with Image.open(folder / name) as figure:
                figure.convert("RGB").quantize(256).save(target, optimize=True)
            lines.append(f"![{title}](images/{target.name})")
    return lines


def write(pairs: Sequence[tuple[Path, Path]], docs: Path) -> Path:
    """Write results.md into a folder of documentation."""
    images = docs / "images"
    images.mkdir(exist_ok=True)
    sections = [section(recipe, folder, images) for recipe, folder in pairs]
    page = docs / "results.md"
    page.write_text("\n".join([INTRODUCTION, "\n\n".join(sections), ""]))
    return page


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def command(paths: tuple[Path, ...]) -> None:
    """Write docs/results.md from pairs of RECIPE and FOLDER."""
    if len(paths) % 2:
        raise click.UsageError("give a recipe and a folder, again and again")
    click.echo(write(list(zip(paths[::2], paths[1::2], strict=True)), Path(__file__).parent))


if __name__ == "__main__":
    command()
