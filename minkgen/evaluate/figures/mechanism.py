"""The mechanism figure (the paper's figure 7): what is noticed when one cell grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.figures.style import TRUE_LINE, axis_label, draw_field, line_of, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ResponseCurves", "response_of_a_cell"]

FloatArray = npt.NDArray[np.floating]

# From the largest attribution of a map down to a thousandth of it.
_ATTRIBUTION_COLOURS, _DECADES = "cividis", 3


@dataclass(frozen=True)
class ResponseCurves:
    """γ at one threshold as one cell is scaled.

    Parameters
    ----------
    factors : array (A,)
        By which the cell is scaled.
    threshold : float
        In mm/h.
    exact : array (A, F)
    predicted : mapping of str to array (A, F)
        By the surrogate's name.
    """

    factors: FloatArray
    threshold: float
    exact: FloatArray
    predicted: Mapping[str, FloatArray]


def response_of_a_cell(
    rain_rate: FloatArray,
    cell: npt.NDArray[np.bool_],
    attributions: Mapping[str, FloatArray],
    responses: ResponseCurves,
    *,
    titles: Mapping[str, str],
    functionals: Sequence[str],
    pixel_km: float,
    attribution: str,
) -> Figure:
    """Draw field and attribution maps above, and the response of every functional below.

    Parameters
    ----------
    rain_rate : array (H, W)
        The synthetic field at factor 1, in mm/h.
    cell : array of bool (H, W)
        The pixels that are scaled, outlined in every map.
    attributions : mapping of str to array (H, W)
        |∂/∂x Σ log1p γ̂| by the surrogate's name, each drawn relative to its own largest value.
    responses : ResponseCurves
    titles : mapping
        From the names of surrogates to what the legend calls them.
    functionals : sequence of str
        Names along F.
    pixel_km : float
        Side of a pixel in km.
    attribution : str
        What is said about the data.

    Returns
    -------
    Figure
    """
    columns = max(1 + len(attributions), len(functionals))
    figure = new_figure(3.0 * columns, 6.8, attribution)
    top, bottom = figure.subfigures(2, 1, squeeze=False)[:, 0]
    panels = top.subplots(1, 1 + len(attributions), squeeze=False)[0]
    colours = draw_field(panels[0], rain_rate, pixel_km)
    panels[0].set_title("field", fontsize=9)
    top.colorbar(colours, ax=panels[0], label="rain rate [mm/h]", shrink=0.6, extend="max")
    maps = None
    for panel, (name, values) in zip(panels[1:], attributions.items(), strict=True):
        maps = _draw_attribution(panel, values, pixel_km)
        panel.set_title(titles[name], fontsize=9)
    if maps is not None:
        top.colorbar(
            maps, ax=list(panels[1:]), label="|gradient|\n(relative to its maximum)", shrink=0.6
        )
    for panel in panels:
        _outline(panel, cell, pixel_km)
    for number, (panel, name) in enumerate(
        zip(bottom.subplots(1, len(functionals)), functionals, strict=True)
    ):
        _draw_responses(panel, number, responses, titles)
        panel.set_ylabel(axis_label(name))
        panel.set_title(f"at {responses.threshold:.2f} mm/h", fontsize=9)
        if number == 0:
            panel.legend(fontsize=8)
    return figure


def _draw_attribution(panel: Axes, values: FloatArray, pixel_km: float) -> object:
    from matplotlib.colors import LogNorm

    height, width = (pixel_km * side for side in values.shape)
    largest = float(values.max()) or 1.0
    image = panel.imshow(
        np.maximum(values / largest, 10.0**-_DECADES),
        origin="upper",
        extent=(0.0, width, 0.0, height),
        norm=LogNorm(10.0**-_DECADES, 1.0),
        cmap=_ATTRIBUTION_COLOURS,
        interpolation="nearest",
    )
    panel.set_xlabel("east [km]")
    return image


def _outline(panel: Axes, cell: npt.NDArray[np.bool_], pixel_km: float) -> None:
    """Draw the cell's outline; rows run from north to south, the axis the other way."""
    rows, columns = cell.shape
    x = (np.arange(columns) + 0.5) * pixel_km
    y = (rows - np.arange(rows) - 0.5) * pixel_km
    panel.contour(x, y, cell.astype(float), levels=[0.5], colors="#D55E00", linewidths=1.2)


def _draw_responses(
    panel: Axes, number: int, responses: ResponseCurves, titles: Mapping[str, str]
) -> None:
    every = max(1, len(responses.factors) // 16)
    style: dict[str, Any] = {"markersize": 3, "markevery": every}
    panel.plot(responses.factors, responses.exact[:, number], **TRUE_LINE, **style, label="true")
    for name, values in responses.predicted.items():
        panel.plot(
            responses.factors, values[:, number], **line_of(name), **style, label=titles[name]
        )
    # Surrogates may be wrong by factors, and the truth be 0.
    panel.set_yscale("symlog", linthresh=1.0)
    panel.set_xlabel("factor on the cell's rates")
    panel.grid(visible=True, alpha=0.3)
