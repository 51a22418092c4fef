"""`minkgen report`: a store and its runs as one HTML page."""

from __future__ import annotations

import time
from pathlib import Path

import click

from minkgen.cli.main import DONE
from minkgen.cli.options import output_options
from minkgen.cli.render import plain, show_progress, show_result

_SUFFIXES = (".html", ".htm")


@click.command(name="report", short_help="Show a store and its runs on one HTML page.")
@click.argument("store", envvar="MINKGEN_STORE", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    metavar="FILE.html",
    help="Where the page goes; it is replaced.",
)
@output_options
def command(store: Path, *, output: Path, as_json: bool, quiet: bool) -> int:
    """Show what is in STORE on one HTML page, to be opened in a browser or printed.

    The page has the calendar of composites, splits, maps of the samples, thresholds, persistence
    floors, γ over thresholds, pictures of samples, quality flags, the tables and figures of
    evaluations, the losses of trainings, provenance and licence; parts whose data are not in STORE
    are left out. It needs no network and no other file. STORE is only read, and may be written to
    meanwhile.

    \b
    Examples:
      minkgen report store
      minkgen report store -o /tmp/store.html
    """
    if output.suffix.lower() not in _SUFFIXES:
        raise click.UsageError(f"{output} does not end in .html")
    from minkgen.workflows.report import write_report

    began = time.monotonic()
    with show_progress(quiet=quiet) as progress:
        report = write_report(store, output, progress)
    sections = [section.name for section in report.sections]
    size = output.stat().st_size

    def text() -> str:
        seconds = time.monotonic() - began
        lines = [
            f"page: {output}, {size / 1e6:.1f} MB, {len(sections)} sections in {seconds:.0f} s",
            f"open it with a browser: {output.absolute().as_uri()}",
            report.attribution,
        ]
        return "\n".join(map(plain, lines))

    result = {
        "store": str(store),
        "report": str(output),
        "bytes": size,
        "sections": sections,
        "attribution": report.attribution,
    }
    show_result(result, text, as_json=as_json)
    return DONE
