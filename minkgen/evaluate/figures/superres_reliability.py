"""Does rain come as often as members of generative models foretell: reliability, sharpness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from minkgen.evaluate.figures.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Ensemble", "reliability"]

# Of thresholds, from low to high; Okabe and Ito's colours.
_LINES: tuple[dict[str, Any], ...] = (
    {"color": "#56B4E9", "marker": "o", "linestyle": "-"},
    {"color": "#0072B2", "marker": "s", "linestyle": "--"},
    {"color": "#E69F00", "marker": "^", "linestyle": "-."},
    {"color": "#D55E00", "marker": "D", "linestyle": ":"},
)


@dataclass(frozen=True)
class Ensemble:
    """How the members of one generative model foretell that thresholds are exceeded.

    Parameters
    ----------
    title : str
    members : int
    reliability : mapping
        As `ensemble_scores` of `minkgen.evaluate.superres` has it, by threshold (mm/h):
        `probability`, the share of members, `frequency`, how often the truth was there (None where
        it was never foretold), and `pixels`.
    """

    title: str
    members: int
    reliability: Mapping[str, Mapping[str, Any]]


def reliability(ensembles: Sequence[Ensemble], *, attribution: str) -> Figure:
    """Draw a row for every model: reliability, and how often each share of members was given.

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
        row.suptitle(f"{ensemble.title}, {ensemble.members} members", fontsize=10)
        curves, sharpness = row.subplots(1, 2)
        curves.plot([0.0, 1.0], [0.0, 1.0], color="#000000", linewidth=1.0)
        for line, (threshold, found) in zip(
            cycle(_LINES), ensemble.reliability.items(), strict=False
        ):
            frequency = np.array(found["frequency"], np.float64)
            label = f"at least {threshold} mm/h"
            curves.plot(found["probability"], frequency, **line, label=label)
            pixels = np.array(found["pixels"], np.float64)
            share = np.where(pixels > 0, pixels, np.nan) / pixels.sum()
            sharpness.plot(found["probability"], share, **line)
        curves.set_ylim(-0.03, 1.03)
        curves.set_ylabel("observed frequency")
        curves.legend(fontsize=8, loc="upper left")
        sharpness.set_yscale("log")
        sharpness.set_ylabel("share of pixels")
        for panel in (curves, sharpness):
            panel.set_xlim(-0.03, 1.03)
            panel.set_xlabel("share of members that exceed")
            panel.grid(visible=True, alpha=0.3)
    return figure
