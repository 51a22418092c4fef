"""The inversion figures (the paper's figures 3 and 6): inverted fields, and their spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.figures.spectra import MeanSpectra, draw_spectra
from minkgen.evaluate.figures.style import draw_field, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["InversionCase", "inverted_fields"]

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class InversionCase:
    """One target and what came of it.

    Parameters
    ----------
    title : str
        Which tile it is.
    truth : array (H, W)
        The tile whose γ was the target, in mm/h.
    found : mapping of str to array (H, W)
        Inverted fields in mm/h, by the surrogate's name.
    notes : mapping of str to str
        What is printed above each of them.
    """

    title: str
    truth: FloatArray
    found: Mapping[str, FloatArray]
    notes: Mapping[str, str]


def inverted_fields(
    cases: Sequence[InversionCase],
    *,
    wavelengths: FloatArray,
    truth_spectrum: FloatArray,
    spectra: Mapping[str, FloatArray],
    titles: Mapping[str, str],
    lines: Mapping[str, Mapping[str, Any]],
    tiles: int,
    pixel_km: float,
    attribution: str,
) -> Figure:
    """Draw every case as a row of fields, and below the mean spectra with their ratio.

    Parameters
    ----------
    cases : sequence of InversionCase
    wavelengths : array (K,)
        Of the rings, in km; rings shorter than two pixels are left out.
    truth_spectrum : array (K,)
        Mean power over all inverted tiles, in (mm/h)².
    spectra : mapping of str to array (K,)
        The same of inverted fields, by the surrogate's name.
    titles, lines : mapping
        From the names of surrogates to what the legend calls them, and to how they are drawn.
    tiles : int
        That the spectra are means of.
    pixel_km : float
        Side of a pixel in km.
    attribution : str
        Source and licence of the data.

    Returns
    -------
    Figure
    """
    columns = 1 + len(spectra)
    figure = new_figure(max(2.6 * columns + 0.8, 8.0), 3.1 * len(cases) + 4.0, attribution)
    heights = [3.0] * len(cases) + [3.6]
    grid = figure.add_gridspec(len(cases) + 1, 1, height_ratios=heights)
    for number, case in enumerate(cases):
        row = grid[number].subgridspec(1, columns)
        _draw_row(
            [figure.add_subplot(row[column]) for column in range(columns)], case, titles, pixel_km
        )
    below = grid[len(cases)].subgridspec(1, 2)
    power, ratio = (figure.add_subplot(below[column]) for column in range(2))
    drawn = MeanSpectra(wavelengths, truth_spectrum, spectra, tiles=tiles, pixel_km=pixel_km)
    draw_spectra(power, ratio, drawn, titles=titles, lines=lines, predicted="inverted")
    return figure


def _draw_row(
    panels: Sequence[Axes], case: InversionCase, titles: Mapping[str, str], pixel_km: float
) -> None:
    colours = draw_field(panels[0], case.truth, pixel_km)
    panels[0].set_title(f"truth\n{case.title}", fontsize=8)
    for panel, (name, field) in zip(panels[1:], case.found.items(), strict=True):
        draw_field(panel, field, pixel_km)
        panel.set_title(f"{titles[name]}\n{case.notes[name]}", fontsize=8)
        panel.set_ylabel("")
        panel.set_yticklabels([])
    panels[0].figure.colorbar(
        colours, ax=list(panels), label="rain rate [mm/h]", shrink=0.8, extend="max"
    )
