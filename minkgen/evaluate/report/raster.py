"""Values on a grid as SVG: an image of colours, axes in km, and the scale of its colours."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from minkgen.evaluate.report.blocks import RasterMap
from minkgen.evaluate.report.charts import frame, left_margin
from minkgen.evaluate.report.scales import Scale, fit_scale
from minkgen.evaluate.report.svg import drawing, element, number

__all__ = ["data_address", "is_broad", "raster"]

Floats = npt.NDArray[np.floating]
_TOP, _BOTTOM, _BAR_WIDTH = 10, 48, 14
_INSIDE = 420  # pixels of the longer side
# Pixels that a reader cannot tell apart are averaged: a 2200 x 1900 image takes megabytes.
_MOST_PIXELS = 840
# Each cell that tells its value costs some 120 bytes, and must be large enough to be pointed at.
_MOST_TOLD = 6000
_COLOURS = "viridis"
# Figures of many panels cannot be read at half of the page's width.
_BROAD = 900


def raster(block: RasterMap, anchor: str) -> Markup:
    """Return a map as an SVG drawing.

    Parameters
    ----------
    block : RasterMap
    anchor : str
        The id of the drawing, unique in the page.
    """
    width_km, height_km = block.extent_km
    longest = max(width_km, height_km)
    width, height = (_INSIDE * side / longest for side in block.extent_km)
    y = Scale("linear", 0.0, height_km, _TOP + height, _TOP)
    left = left_margin(y)
    x = Scale("linear", 0.0, width_km, left, left + width)
    colours = fit_scale(block.scale, block.values, _TOP + height, _TOP)
    image = element(
        "image", x=left, y=float(_TOP), width=width, height=height,
        href=data_address(_png(_painted(block, colours))), preserveAspectRatio="none",
    )  # fmt: skip
    seen = block.values[np.isfinite(block.values)]
    told = f"{number(seen.min())} to {number(seen.max())}" if seen.size else "no values"
    size = (round(left + width + 110), round(_TOP + height + _BOTTOM))
    return drawing(
        anchor,
        block.title,
        f"{block.label}: {told}, on {block.values.shape[0]} rows from the north and "
        f"{block.values.shape[1]} columns; {number(width_km)} km by {number(height_km)} km",
        size,
        image,
        frame(x, y, "east [km]", "north [km]"),
        *_told_cells(block, x, y),
        *_colour_bar(block.label, colours, x.end + 18),
    )


def data_address(png: bytes) -> str:
    """Return a PNG image as an address that holds the whole of it."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def is_broad(png: bytes) -> bool:
    """Return whether a PNG image has so many columns that it needs the page's whole width."""
    return int.from_bytes(png[16:20], "big") >= _BROAD


def _painted(block: RasterMap, colours: Scale) -> npt.NDArray[np.uint8]:
    """Return red, green, blue and opacity; NaN is left to the page's background."""
    from matplotlib import colormaps  # on use: it reads its settings from HOME

    values = _averaged(np.asarray(block.values, float))
    places = colours.place(values)
    share = (places - colours.start) / (colours.end - colours.start)
    painted: npt.NDArray[np.uint8] = colormaps[_COLOURS](
        np.clip(np.nan_to_num(share), 0.0, 1.0), bytes=True
    )
    painted[..., 3] = np.where(np.isfinite(share), 255, 0)
    return painted


def _averaged(values: Floats) -> Floats:
    """Return means of square blocks, so few that neither side has too many; NaN is left out."""
    side = -(-max(values.shape) // _MOST_PIXELS)
    if side <= 1:
        return values
    rows, columns = (-(-n // side) for n in values.shape)
    padded = np.full((rows * side, columns * side), np.nan)
    padded[: values.shape[0], : values.shape[1]] = values
    blocks = padded.reshape(rows, side, columns, side)
    seen = np.isfinite(blocks)
    counts = seen.sum(axis=(1, 3))
    sums = np.where(seen, blocks, 0.0).sum(axis=(1, 3))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _png(painted: npt.NDArray[np.uint8]) -> bytes:
    from matplotlib.image import imsave

    stream = io.BytesIO()
    imsave(stream, painted, format="png")
    return stream.getvalue()


def _told_cells(block: RasterMap, x: Scale, y: Scale) -> list[Markup]:
    """Return empty boxes over the cells that tell their values, where cells are large enough."""
    rows, columns = block.values.shape
    seen = np.argwhere(np.isfinite(block.values))
    if len(seen) > _MOST_TOLD:
        return []
    width, height = (x.end - x.start) / columns, (y.start - y.end) / rows
    cells = [
        element(
            "rect", element("title", f"{block.label}: {_value(block.values[row, column])}"),
            x=float(x.start + column * width), y=float(y.end + row * height),
            width=width, height=height,
        )
        for row, column in seen
    ]  # fmt: skip
    return [element("g", *cells, class_="reach")]


def _value(value: float) -> str:
    """Return a value of a map, which is a count if it is whole."""
    return number(int(value) if value == int(value) else value)


def _colour_bar(label: str, colours: Scale, left: float) -> list[Markup]:
    from matplotlib import colormaps

    height = colours.start - colours.end
    strip = colormaps[_COLOURS](np.linspace(1.0, 0.0, 256), bytes=True)[:, np.newaxis]
    right = left + _BAR_WIDTH
    ticks = [
        element("text", tick.label, x=right + 6, y=tick.place + 4) for tick in colours.ticks(34)
    ]
    title = element(
        "text", label, text_anchor="middle",
        transform=f"translate({right + 66:.1f} {colours.end + height / 2:.1f}) rotate(-90)",
    )  # fmt: skip
    return [
        element(
            "image", x=left, y=colours.end, width=_BAR_WIDTH, height=height,
            href=data_address(_png(strip)), preserveAspectRatio="none",
        ),
        element("g", *ticks, element("g", title, class_="titles"), class_="axes"),
    ]  # fmt: skip
