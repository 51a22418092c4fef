"""The γ-curve figure (the paper's figure 5): true and predicted functionals over thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError
from minkgen.evaluate.figures.style import TRUE_LINE, axis_label, draw_field, line_of, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

__all__ = ["CASE_QUANTILES", "GammaCase", "choose_cases", "gamma_curves"]

# Share of tiles with no more components than the case shown.
CASE_QUANTILES = {"quiet": 0.10, "fragmented": 0.99}

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
    target : array (F, Q)
        γ in physical units.
    predicted : mapping of str to array (F, Q)
        γ in physical units by the surrogate's name.
    """

    title: str
    rain_rate: FloatArray
    target: FloatArray
    predicted: Mapping[str, FloatArray]


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
    titles: Mapping[str, str],
    thresholds: npt.ArrayLike,
    functionals: Sequence[str],
    pixel_km: float,
    attribution: str,
) -> Figure:
    """Draw every case as a row: the field, then one panel per functional.

    Parameters
    ----------
    cases : sequence of GammaCase
    titles : mapping
        From the names of surrogates to what the legend calls them.
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
    figure = new_figure(3.4 * (1 + len(functionals)), 3.7 * len(cases) + 0.4, attribution)
    rows = figure.subfigures(len(cases), 1, squeeze=False)[:, 0]
    for case, row in zip(cases, rows, strict=True):
        _draw_case(row, case, titles, np.asarray(thresholds), functionals, pixel_km)
    return figure


def _draw_case(
    row: SubFigure,
    case: GammaCase,
    titles: Mapping[str, str],
    thresholds: FloatArray,
    functionals: Sequence[str],
    pixel_km: float,
) -> None:
    row.suptitle(case.title, fontsize=11)
    field, *panels = row.subplots(1, 1 + len(functionals))
    colours = draw_field(field, case.rain_rate, pixel_km)
    row.colorbar(colours, ax=field, label="rain rate [mm/h]", shrink=0.85, extend="max")
    for number, (panel, name) in enumerate(zip(panels, functionals, strict=True)):
        panel.plot(thresholds, case.target[number], **TRUE_LINE, markersize=3, label="true")
        for surrogate, predicted in case.predicted.items():
            label = titles[surrogate]
            panel.plot(
                thresholds, predicted[number], **line_of(surrogate), markersize=3, label=label
            )
        panel.set_xscale("log")
        shown = [case.target[number], *(each[number] for each in case.predicted.values())]
        if min(float(values.min()) for values in shown) >= 0.0:
            panel.set_ylim(bottom=0.0)
        panel.set_xlabel("threshold [mm/h]")
        panel.set_ylabel(axis_label(name))
        panel.grid(visible=True, alpha=0.3)
    panels[0].legend(fontsize=8)
