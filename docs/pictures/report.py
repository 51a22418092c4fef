"""Take pictures of a report, for docs/report.md; writes docs/images/report-{light,dark}.png.

    minkgen report STORE -o report.html
    python docs/pictures/report.py report.html

Each picture shows the head of the page, and the beginnings of three sections below it.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import click
from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent.parent / "images"
WIDTH, HEAD = 1280, 655
# Sections, and how many pixels of each are shown.
SECTIONS = {"places": 530, "gamma": 785, "gallery": 380}
LIMIT_BYTES = 400_000


def clips(page: Page) -> list[dict[str, float]]:
    """Return the boxes of the page that a picture is made of."""
    tops = {
        name: page.locator(f"section:has(> #{name})").bounding_box()["y"] - 12 for name in SECTIONS
    }
    boxes = [(0.0, HEAD), *((tops[name], height) for name, height in SECTIONS.items())]
    return [{"x": 0, "y": y, "width": WIDTH, "height": height} for y, height in boxes]


def stacked(page: Page) -> Image.Image:
    """Return the parts of a page below each other."""
    parts = [
        Image.open(io.BytesIO(page.screenshot(full_page=True, clip=box))) for box in clips(page)
    ]
    whole = Image.new("RGB", (WIDTH, sum(part.height for part in parts)))
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    return whole


@click.command(help=__doc__)
@click.argument("report", type=click.Path(path_type=Path, exists=True))
def main(report: Path) -> None:
    """Take both pictures."""
    with sync_playwright() as playwright:
        options: dict[str, Any] = {"executable_path": shutil.which("chromium")}
        browser = playwright.chromium.launch(**options, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = browser.new_page(
                viewport={"width": WIDTH, "height": 900}, color_scheme=scheme, offline=True
            )
            page.goto(report.resolve().as_uri())
            path = IMAGES / f"report-{scheme}.png"
            # 256 colours are enough for a page, and take a third of the bytes.
            stacked(page).quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
            if path.stat().st_size > LIMIT_BYTES:
                raise click.ClickException(f"{path}: {path.stat().st_size} bytes are too many")
            click.echo(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main()
