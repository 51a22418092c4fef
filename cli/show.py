"""`minkgen show`: a picture of a composite, and of a tile of it with its γ."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from minkgen.cli.main import DONE
from minkgen.cli.options import json_option
from minkgen.cli.render import plain, show_result

_TIMES = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%MZ")


def _place(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"{text!r} is no ROW,COLUMN: two whole numbers, as in 896,640")
    return int(parts[0]), int(parts[1])


@click.command(name="show", short_help="Draw a composite, or a tile with its γ.")
@click.argument("path", metavar="FILE|STORE", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--time",
    type=click.DateTime(_TIMES),
    metavar="YYYY-MM-DDTHH:MM",
    help="Of the composite, UTC. Needed for a store; a file has one.",
)
@click.option(
    "--tile",
    callback=_place,
    metavar="ROW,COLUMN",
    help="North-west pixel of a tile to draw beside it, with outlines of its excursion sets and "
    "its γ: by the store's current snapshot, or over 0.1 to 50 mm/h.",
)
@click.option(
    "--product",
    type=click.Choice(["RATE", "ACRR", "DBZH", "OWN"]),
    help="Whose composite, if the store has several; the first of them by default.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("show.png"),
    show_default=True,
    metavar="FILE.png",
    help="Where the picture goes; it is replaced.",
)
@json_option
def command(
    path: Path,
    *,
    time: datetime | None,
    tile: tuple[int, int] | None,
    product: str | None,
    output: Path,
    as_json: bool,
) -> int:
    """Draw a composite of a file or of a store, in mm/h, and a tile of it with its γ.

    \b
    Examples:
      minkgen show OPERA@20180824T1800@0@QIND_RATE.h5 --tile 896,640
      minkgen show store --time 2024-07-01T12:00 -o noon.png
    """
    if output.suffix.lower() != ".png":
        raise click.UsageError(f"{output} does not end in .png")
    if path.is_dir() and time is None:
        raise click.UsageError(f"{path} is a folder: say which composite, --time YYYY-MM-DDTHH:MM")
    if path.is_file() and (time is not None or product is not None):
        raise click.UsageError("a file has one composite: leave out --time and --product")
    from minkgen.workflows.show import look_at_file, look_at_store

    look = look_at_store(path, time, tile, product) if time else look_at_file(path, tile)
    output.write_bytes(look.png)
    content = look.content

    def text() -> str:
        highest = content["max_mm_h"]
        lines = [
            f"{content['product']}, {content['time']} UTC: "
            f"{100 * content['covered_fraction']:.1f} % covered, of it "
            f"{100 * content['wet_fraction']:.1f} % wet"
            + ("" if highest is None else f", at most {highest:.2f} mm/h"),
            f"picture: {plain(output)}",
            content["attribution"],
        ]
        return "\n".join(lines)

    show_result({**content, "picture": str(output)}, text, as_json=as_json)
    return DONE
