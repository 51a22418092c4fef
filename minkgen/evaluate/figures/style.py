"""What all figures share: colours, axes, fields, and how a figure becomes a file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minkgen.gamma.functionals import UNITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

__all__ = [
    "TRUE_LINE",
    "as_png",
    "axis_label",
    "draw_field",
    "line_of",
    "model_line",
    "new_figure",
    "tempered_line",
    "with_few_colours",
]

# Perceptually uniform and safe for colour-blind readers; light rain is light.
RAIN_COLOURS = "viridis_r"
RAIN_RANGE_MM_H = (0.1, 100.0)
DRY_COLOUR = "#ECECEC"
# The colours of Okabe and Ito, told apart by marker and line, too.
# The truth is broad, so that it is seen below what meets it.
TRUE_LINE: dict[str, Any] = {"color": "#000000", "marker": "o", "linestyle": "-", "linewidth": 2.5}
_LINES: dict[str, dict[str, Any]] = {
    "exact": {"color": "#009E73", "marker": "D", "linestyle": "-."},
    "analytical": {"color": "#E69F00", "marker": "^", "linestyle": "--"},
    "pcr": {"color": "#8C8C8C", "marker": "x", "linestyle": ":"},
    "cnn": {"color": "#56B4E9", "marker": "v", "linestyle": "--"},
    "cnn-constrained": {"color": "#0072B2", "marker": "<", "linestyle": "-."},
    "lip-cnn": {"color": "#CC79A7", "marker": ">", "linestyle": "--"},
    "lip-cnn-constrained": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
}
# Models of super-resolution: colours by the geometric loss, markers by the model. The flow has no
# colour of its own for each loss, but a marker that no other model has.
_LOSS_COLOURS = {
    "analytical": "#E69F00",
    "emulator": "#D55E00",
    "exact": "#009E73",
}
_MODELS: dict[str, dict[str, Any]] = {
    "interpolation": {"color": "#8C8C8C", "marker": "x", "linestyle": ":"},
    "unet": {"color": "#0072B2", "marker": "s", "linestyle": "--"},
    "ddpm": {"color": "#CC79A7", "marker": "v", "linestyle": "-."},
    "flow": {"color": "#56B4E9", "marker": "^", "linestyle": ":"},
}
_UNKNOWN_LINE: dict[str, Any] = {"color": "#444444", "marker": "+", "linestyle": ":"}


def line_of(name: str) -> dict[str, Any]:
    """Return colour, marker and line of a surrogate, as arguments of `Axes.plot`."""
    return _LINES.get(name, _UNKNOWN_LINE)


def model_line(name: str) -> dict[str, Any]:
    """Return colour, marker and line of a model of super-resolution, for `Axes.plot`.

    Parameters
    ----------
    name : str
        The model, with its geometric loss where it has one: `unet`, `unet-exact`.
    """
    model, _, loss = name.partition("-")
    line = _MODELS.get(model, _UNKNOWN_LINE)
    return line | {"color": _LOSS_COLOURS[loss]} if loss in _LOSS_COLOURS else line


def tempered_line(name: str, scale: float) -> dict[str, Any]:
    """Return the line of a surrogate at another temperature: hollow, and dotted if colder."""
    line = line_of(name)
    if scale == 1.0:
        return line
    return line | {"linestyle": ":" if scale < 1.0 else "--", "fillstyle": "none"}


def new_figure(width: float, height: float, attribution: str) -> Figure:
    """Return an empty figure with the source and licence of the data at its foot.

    Parameters
    ----------
    width, height : float
        In inches.
    attribution : str
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    foot = 0.22 / height
    figure.set_layout_engine("constrained", rect=(0.0, foot, 1.0, 1.0 - foot))
    figure.text(0.995, 0.25 * foot, attribution, ha="right", va="bottom", fontsize=8)
    return figure


def as_png(figure: Figure) -> bytes:
    """Return a figure as a PNG image."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def with_few_colours(png: bytes, widest: int | None = None) -> bytes:
    """Return a PNG image of 256 colours: enough for figures, at a third of the size.

    Parameters
    ----------
    png : bytes
    widest : int, optional
        Wider images are made so wide, in pixels.
    """
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        picture = image.convert("RGB")
    if widest is not None and picture.width > widest:
        picture = picture.resize((widest, round(picture.height * widest / picture.width)))
    picture.quantize(256).save(stream, format="png", optimize=True)
    return stream.getvalue()


def axis_label(functional: str) -> str:
    """Return a functional with its unit.

    Examples
    --------
    >>> axis_label("area"), axis_label("components")
    ('area [km²]', 'components')
    """
    name, unit = functional.replace("_", " "), UNITS[functional].replace("km2", "km²")
    return name if unit == "1" else f"{name} [{unit}]"


def draw_field(axes: Axes, rain_rate: npt.NDArray[np.floating], pixel_km: float) -> ScalarMappable:
    """Draw a tile with north at the top and axes in km from its south-west corner."""
    from matplotlib.colors import LogNorm

    height, width = (pixel_km * side for side in rain_rate.shape)
    low, high = RAIN_RANGE_MM_H
    image = axes.imshow(
        np.ma.masked_less_equal(rain_rate, 0.0),
        origin="upper",  # row 0 is the northernmost
        extent=(0.0, width, 0.0, height),
        norm=LogNorm(low, high),
        cmap=RAIN_COLOURS,
        interpolation="nearest",
    )
    axes.set_facecolor(DRY_COLOUR)
    axes.set_xlabel("east [km]")
    axes.set_ylabel("north [km]")
    return image
