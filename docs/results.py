"""Write docs/results.md from what `minkgen evaluate` left behind; no number is written by hand.

    python docs/results.py RECIPE FOLDER [RECIPE FOLDER ...]

FOLDER is the folder of an evaluation: runs/evaluation-... or runs/superres-evaluation-... of the
store. Pictures go to docs/images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from minkgen.evaluate.figures.style import with_few_colours
from minkgen.evaluate.results.evaluations import Evaluation, read_evaluation

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


def section(recipe: Path, folder: Path, images: Path) -> str:
    """Return the section of one evaluation, and bring its pictures."""
    evaluation = read_evaluation(folder)
    return "\n\n".join(
        [
            f"## {recipe.stem}: {evaluation.title}",
            "\n".join(f"- {line}" for line in evaluation.headline.splitlines()),
            evaluation.scores.as_markdown(),
            *pictures(evaluation, images, recipe.stem),
            *(table.as_markdown() for table in (evaluation.published, *evaluation.others)),
            f"The recipe, `{recipe.name}`:",
            f"```yaml\n{recipe.read_text().rstrip()}\n```",
        ]
    )


def pictures(evaluation: Evaluation, images: Path, recipe: str) -> list[str]:
    """Bring the figures, and return the lines that show them."""
    lines = []
    for figure in evaluation.figures:
        target = images / f"results-{recipe}-{figure.path.name.replace('_', '-')}"
        target.write_bytes(with_few_colours(figure.path.read_bytes()))
        lines.append(f"![{figure.title}](images/{target.name})")
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
