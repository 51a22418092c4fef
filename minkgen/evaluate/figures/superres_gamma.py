"""γ curves of a split and of chosen storms, and of what models make of them, with residuals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.figures.style import TRUE_LINE, axis_label, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["GammaResiduals", "gamma_residuals"]

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class GammaResiduals:
    """γ of one tile, or mean γ of many.

    Parameters
    ----------
    title : str
    truth : array (F, Q)
        In physical units.
    predicted, residual : mapping of str to array (F, Q)
        By the model's name: in physical units, and log1p predicted - log1p true, of means the mean
        of that.
    """

    title: str
    truth: FloatArray
    predicted: Mapping[str, FloatArray]
    residual: Mapping[str, FloatArray]


def gamma_residuals(
    cases: Sequence[GammaResiduals],
    *,
    titles: Mapping[str, str],
    lines: Mapping[str, Mapping[str, Any]],
    thresholds: npt.ArrayLike,
    functionals: Sequence[str],
    attribution: str,
) -> Figure:
    """Draw true and predicted γ of every case, and below each panel the residual of log1p γ.

    Parameters
    ----------
    cases : sequence of GammaResiduals
    titles, lines : mapping
        From the names of models to what the legend calls them, and to how they are drawn.
    thresholds : array_like (Q,)
        In mm/h.
    functionals : sequence of str
        Names along F.
    attribution : str
        Source and licence of the data.

    Returns
    -------
    Figure
    """
    figure = new_figure(3.8 * len(functionals) + 1.6, 4.6 * len(cases) + 0.4, attribution)
    rows = figure.subfigures(len(cases), 1, squeeze=False)[:, 0]
    levels = np.asarray(thresholds, np.float64)
    for case, row in zip(cases, rows, strict=True):
        row.suptitle(case.title, fontsize=10)
        panels = row.subplots(2, len(functionals), sharex=True, height_ratios=[3.0, 2.0])
        for number, name in enumerate(functionals):
            _draw_curves(panels[0, number], levels, case, number, titles, lines)
            _draw_residuals(panels[1, number], levels, case, number, lines)
            panels[0, number].set_ylabel(axis_label(name))
            panels[1, number].set_xlabel("threshold [mm/h]")
        panels[1, 0].set_ylabel("predicted - true,\nlog1p")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        row.legend(handles, labels, fontsize=8, loc="outside center right")
    return figure


def _draw_curves(
    panel: Axes,
    levels: FloatArray,
    case: GammaResiduals,
    number: int,
    titles: Mapping[str, str],
    lines: Mapping[str, Mapping[str, Any]],
) -> None:
    panel.plot(levels, case.truth[number], **TRUE_LINE, markersize=3, label="true")
    for name, gamma in case.predicted.items():
        panel.plot(levels, gamma[number], **lines[name], markersize=3, label=titles[name])
    panel.set_xscale("log")
    panel.set_ylim(bottom=0.0)
    panel.grid(visible=True, alpha=0.3)


def _draw_residuals(
    panel: Axes,
    levels: FloatArray,
    case: GammaResiduals,
    number: int,
    lines: Mapping[str, Mapping[str, Any]],
) -> None:
    for name, residual in case.residual.items():
        panel.plot(levels, residual[number], **lines[name], markersize=3)
    panel.axhline(0.0, color="#000000", linewidth=0.8)
    panel.grid(visible=True, alpha=0.3)
