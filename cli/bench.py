"""`minkgen bench`: how fast γ is on this machine, beside other ways to compute it."""

from __future__ import annotations

from pathlib import Path

import click

from minkgen.cli.main import DONE
from minkgen.cli.options import output_options
from minkgen.cli.render import show_progress, show_result


@click.command(name="bench", short_help="Time γ beside other ways to compute it.")
@click.argument(
    "folder", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option(
    "--tiles",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    metavar="N",
    help="Time so many tiles, a seeded choice.",
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=11,
    show_default=True,
    metavar="N",
    help="Measure everything so many times in turn; medians are reported.",
)
@output_options
def command(folder: Path | None, *, tiles: int, repeats: int, as_json: bool, quiet: bool) -> int:
    """Time γ, in the same run as the reference pipeline, GUDHI and (if installed) cc3d.

    FOLDER holds composites in the archive's layout (YYYY/MM/DD/OPERA/COMP/NAME.h5); without it,
    synthetic rain is timed. The table shows the project's targets and whether they are met; a
    missed target is no failure, since machines differ. A few minutes on two cores, best with
    nothing else running.

    \b
    Examples:
      minkgen bench
      minkgen bench archive --json > bench.json
    """
    from minkgen.workflows.bench import report
    from minkgen.workflows.bench.timing import bench

    with show_progress(quiet=quiet) as progress:
        result = bench(folder, tiles=tiles, repeats=repeats, progress=progress)
    show_result(report.as_json(result), lambda: report.as_text(result), as_json=as_json)
    return DONE
