"""Are members of generative models as likely as the truth: rank histograms and reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.figures.style import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Ensemble", "reliability"]

_THRESHOLD_MARKERS = ("o", "s", "^", "D", "v", "x")


@dataclass(frozen=True)
class Ensemble:
    """What is known of the members of one generative model.

    Parameters
    ----------
    title : str
    line : mapping
        How it is drawn.
    ranks : array_like (M + 1,)
        How often so many of M members lie below the truth.
    thresholds : sequence of float
        In mm/h.
    counts, observed : array_like (thresholds, M + 1)
        Pixels in which so many members exceed the threshold, and those of them in which the truth
        does.
    """

    title: str
    line: Mapping[str, Any]
    ranks: npt.ArrayLike
    thresholds: Sequence[float]
    counts: npt.ArrayLike
    observed: npt.ArrayLike


def reliability(ensembles: Sequence[Ensemble], *, attribution: str) -> Figure:
    """Draw a row for every model: the rank histogram, and reliability of exceedance.

    Parameters
    ----------
    ensembles : sequence of Ensemble
    attribution : str
        Source and licence of the data.

    Returns
    -------
    Figure
    """
    figure = new_figure(11.0, 3.9 * len(ensembles) + 0.3, attribution)
    rows = figure.subfigures(len(ensembles), 1, squeeze=False)[:, 0]
    for ensemble, row in zip(ensembles, rows, strict=True):
        row.suptitle(ensemble.title, fontsize=10)
        ranks, curves = row.subplots(1, 2)
        _draw_ranks(ranks, ensemble)
        _draw_curves(curves, ensemble)
        curves.legend(fontsize=8, loc="upper left", title="rain rate at least", title_fontsize=8)
    return figure


def _draw_ranks(panel: Axes, ensemble: Ensemble) -> None:
    counts = np.asarray(ensemble.ranks, np.float64)
    members = len(counts) - 1
    panel.bar(
        np.arange(members + 1),
        counts / max(counts.sum(), 1.0),
        color=ensemble.line["color"],
        edgecolor="#000000",
        linewidth=0.6,
    )
    panel.axhline(1.0 / (members + 1), color="#000000", linewidth=1.0, linestyle="--")
    panel.set_xticks(np.arange(members + 1))
    panel.set_xlabel(f"rank of the truth among {members} members (dashed: as it should be)")
    panel.set_ylabel("share of pixels")


def _draw_curves(panel: Axes, ensemble: Ensemble) -> None:
    counts = np.asarray(ensemble.counts, np.float64)
    observed = np.asarray(ensemble.observed, np.float64)
    shares = np.linspace(0.0, 1.0, counts.shape[1])
    panel.plot([0.0, 1.0], [0.0, 1.0], color="#000000", linewidth=1.0, linestyle="--")
    for place, threshold in enumerate(ensemble.thresholds):
        found = counts[place] > 0
        panel.plot(
            shares[found],
            observed[place, found] / counts[place, found],
            color=ensemble.line["color"],
            marker=_THRESHOLD_MARKERS[place % len(_THRESHOLD_MARKERS)],
            linewidth=1.0,
            label=f"{threshold:g} mm/h",
        )
    panel.set_xlim(-0.03, 1.03)
    panel.set_ylim(-0.03, 1.03)
    panel.set_xlabel("share of members that exceed")
    panel.set_ylabel("observed frequency")
    panel.grid(visible=True, alpha=0.3)
