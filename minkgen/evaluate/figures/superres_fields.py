"""Fields side by side: terrain, truth, low resolution, and every model, for chosen storms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.figures.style import RAIN_RANGE_MM_H, draw_field, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["SceneCase", "fields_side_by_side"]

FloatArray = npt.NDArray[np.floating]

# Perceptually uniform, and unlike that of rain.
_TERRAIN_COLOURS = "cividis"
_PANEL_INCHES = 2.3


@dataclass(frozen=True)
class SceneCase:
    """One storm and what models make of it.

    Parameters
    ----------
    title : str
        Which tile it is, and why it is shown.
    terrain : array (H, W)
        Standardised height.
    truth, low : array (H, W)
        In mm/h: the tile, and its 25 km cells brought back to pixels.
    predicted : mapping of str to array (H, W)
        In mm/h, drizzle zeroed, by the model's name; of generative models, the first member.
    """

    title: str
    terrain: FloatArray
    truth: FloatArray
    low: FloatArray
    predicted: Mapping[str, FloatArray]


def fields_side_by_side(
    cases: Sequence[SceneCase],
    *,
    titles: Mapping[str, str],
    pixel_km: float,
    attribution: str,
) -> Figure:
    """Draw every case as a row of fields, all in the colours of one scale.

    Parameters
    ----------
    cases : sequence of SceneCase
    titles : mapping
        From the names of models to what is printed above them.
    pixel_km : float
        Side of a pixel in km.
    attribution : str
        Source and licence of the data.

    Returns
    -------
    Figure
    """
    columns = 3 + max(len(case.predicted) for case in cases)
    figure = new_figure(
        _PANEL_INCHES * columns + 2.4, (_PANEL_INCHES + 0.9) * len(cases) + 0.3, attribution
    )
    rows = figure.subfigures(len(cases), 1, squeeze=False)[:, 0]
    low_high = _common_range([case.terrain for case in cases])
    for case, row in zip(cases, rows, strict=True):
        row.suptitle(case.title, fontsize=10)
        panels = list(row.subplots(1, columns))
        terrain, truth, low, *others = panels
        heights = _draw_terrain(terrain, case.terrain, pixel_km, low_high)
        colours = draw_field(truth, case.truth, pixel_km)
        truth.set_title("truth", fontsize=9)
        # As predictions are: what is below the scale is dry.
        drawn = np.where(case.low >= RAIN_RANGE_MM_H[0], case.low, 0.0)
        draw_field(low, drawn, pixel_km)
        low.set_title("low resolution (25 km)", fontsize=9)
        for panel, (name, field) in zip(others, case.predicted.items(), strict=False):
            draw_field(panel, field, pixel_km)
            panel.set_title(titles[name], fontsize=9)
        for panel in panels[1:]:
            panel.set_ylabel("")
            panel.set_yticklabels([])
        for panel in others[len(case.predicted) :]:
            panel.set_visible(False)
        row.colorbar(
            heights,
            ax=[terrain],
            label="height [standard deviations]",
            shrink=0.75,
            location="left",
        )
        row.colorbar(colours, ax=panels[1:], label="rain rate [mm/h]", shrink=0.75, extend="max")
    return figure


def _common_range(terrains: Sequence[FloatArray]) -> tuple[float, float]:
    """Return what the colours of all terrains run between."""
    low = min(float(each.min()) for each in terrains)
    high = max(float(each.max()) for each in terrains)
    return (low, high) if low < high else (low - 1.0, high + 1.0)


def _draw_terrain(
    panel: Axes, terrain: FloatArray, pixel_km: float, low_high: tuple[float, float]
) -> AxesImage:
    height, width = (pixel_km * side for side in terrain.shape)
    image = panel.imshow(
        terrain,
        origin="upper",  # row 0 is the northernmost
        extent=(0.0, width, 0.0, height),
        cmap=_TERRAIN_COLOURS,
        vmin=low_high[0],
        vmax=low_high[1],
        interpolation="nearest",
    )
    panel.set_title("terrain" if np.ptp(terrain) > 0 else "terrain (none)", fontsize=9)
    panel.set_xlabel("east [km]")
    panel.set_ylabel("north [km]")
    return image
