"""The γ-curve figure: true against predicted functionals over thresholds, beside the field.

Figures are made with matplotlib's object interface: no window, no state of pyplot, nothing left
open. Matplotlib is imported on use, because importing it writes a font cache into HOME.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError
from minkgen.gamma.functionals import UNITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure, SubFigure

__all__ = ["CASE_QUANTILES", "GammaCase", "as_png", "choose_cases", "gamma_curves"]

# Share of tiles with no more components than the case shown.
CASE_QUANTILES = {"quiet": 0.10, "fragmented": 0.99}

# Perceptually uniform and safe for colour-blind readers; light rain is light.
RAIN_COLOURS = "viridis_r"
RAIN_RANGE_MM_H = (0.1, 100.0)
DRY_COLOUR = "#ECECEC"
# Okabe and Ito's black and vermilion, told apart by line style and marker, too.
TRUE_COLOUR, PREDICTED_COLOUR = "#000000", "#D55E00"

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class GammaCase:
    """One tile to show.

    Parameters
    ----------
    title : str
        Which tile it is, and why it is shown.
    rain_rate : array (H, W)
        In mm/h, north first.
    target, predicted : array (F, Q)
        γ in physical units.
    """

    title: str
    rain_rate: FloatArray
    target: FloatArray
    predicted: FloatArray


def choose_cases(components: npt.ArrayLike, area: npt.ArrayLike) -> dict[str, int]:
    """Choose a quiet and a fragmented tile, by a rule that leaves no choice.

    Among tiles that are not empty at the median threshold (all, if every one is), the number of
    components there is taken at the quantiles of `CASE_QUANTILES`; of the tiles with that number,
    the one of median area there; of equals, the first.

    Parameters
    ----------
    components, area : array_like (samples,)
        Of the targets at the median threshold, samples >= 1.

    Returns
    -------
    dict
        Position of the tile, by the name of the case.

    Raises
    ------
    InputError
        If there is no sample.

    Examples
    --------
    >>> choose_cases([0, 1, 1, 1, 9], [0.0, 8.0, 4.0, 12.0, 400.0])
    {'quiet': 1, 'fragmented': 4}
    """
    components, area = np.asarray(components, np.float64), np.asarray(area, np.float64)
    if not components.size:
        raise InputError("there is no tile to choose from", where="components")
    candidates = np.flatnonzero(area > 0)
    if not candidates.size:
        candidates = np.arange(len(area))
    return {
        name: _typical(components, area, candidates, level)
        for name, level in CASE_QUANTILES.items()
    }


def _typical(
    components: npt.NDArray[np.float64],
    area: npt.NDArray[np.float64],
    candidates: npt.NDArray[np.intp],
    level: float,
) -> int:
    wanted = np.quantile(components[candidates], level, method="inverted_cdf")
    equals = candidates[components[candidates] == wanted]
    middle = np.quantile(area[equals], 0.5, method="inverted_cdf")
    return int(equals[area[equals] == middle][0])


def gamma_curves(
    cases: Sequence[GammaCase],
    *,
    thresholds: npt.ArrayLike,
    functionals: Sequence[str],
    pixel_km: float,
    attribution: str,
) -> Figure:
    """Draw every case as a row: the field, then one panel per functional.

    Parameters
    ----------
    cases : sequence of GammaCase
    thresholds : array_like (Q,)
        In mm/h.
    functionals : sequence of str
        Names along F.
    pixel_km : float
        Side of a pixel in km.
    attribution : str
        Source and licence of the data, printed at the foot.

    Returns
    -------
    Figure
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * (1 + len(functionals)), 3.5 * len(cases)), dpi=120)
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", rect=(0.0, 0.03, 1.0, 0.97))
    rows = figure.subfigures(len(cases), 1, squeeze=False)[:, 0]
    for case, row in zip(cases, rows, strict=True):
        _draw_case(row, case, np.asarray(thresholds), functionals, pixel_km)
    figure.text(0.995, 0.005, attribution, ha="right", va="bottom", fontsize=8)
    return figure


def as_png(figure: Figure) -> bytes:
    """Return a figure as a PNG image."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _draw_case(
    row: SubFigure,
    case: GammaCase,
    thresholds: FloatArray,
    functionals: Sequence[str],
    pixel_km: float,
) -> None:
    row.suptitle(case.title, fontsize=11)
    field, *panels = row.subplots(1, 1 + len(functionals))
    colours = _draw_field(field, case.rain_rate, pixel_km)
    row.colorbar(colours, ax=field, label="rain rate [mm/h]", shrink=0.85, extend="max")
    for number, (panel, name) in enumerate(zip(panels, functionals, strict=True)):
        panel.plot(
            thresholds, case.target[number], "o-", color=TRUE_COLOUR, markersize=3, label="true"
        )
        panel.plot(
            thresholds,
            case.predicted[number],
            "s--",
            color=PREDICTED_COLOUR,
            markersize=3,
            label="predicted",
        )
        panel.set_xscale("log")
        panel.set_ylim(bottom=0.0)
        panel.set_xlabel("threshold [mm/h]")
        panel.set_ylabel(_axis_label(name))
        panel.grid(visible=True, alpha=0.3)
    panels[0].legend()


def _axis_label(functional: str) -> str:
    unit = UNITS[functional].replace("km2", "km²")
    return functional if unit == "1" else f"{functional} [{unit}]"


def _draw_field(axes: Axes, rain_rate: FloatArray, pixel_km: float) -> ScalarMappable:
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
