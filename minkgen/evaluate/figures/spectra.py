"""Mean power spectra over the wavelength, with their ratio to the truth's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.figures.style import TRUE_LINE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MeanSpectra", "draw_spectra", "mean_spectra"]

FloatArray = npt.NDArray[np.floating]
_WAVELENGTH_TICKS = (200, 100, 50, 20, 10, 5)
# Rings lie dense at short wavelengths, where every marker would hide the line.
_MARKERS: dict[str, Any] = {"markersize": 3, "markevery": 3}


class MeanSpectra:
    """Mean spectra of one set of tiles.

    Parameters
    ----------
    wavelengths : array_like (K,)
        Of the rings, in km; rings shorter than two pixels are left out.
    truth : array_like (K,)
        Mean power of the tiles, in (mm/h)².
    predicted : mapping of str to array_like (K,)
        The same of predictions, by name.
    tiles : int
        That the spectra are means of.
    pixel_km : float
        Side of a pixel in km.
    """

    def __init__(
        self,
        wavelengths: npt.ArrayLike,
        truth: npt.ArrayLike,
        predicted: Mapping[str, npt.ArrayLike],
        *,
        tiles: int,
        pixel_km: float,
    ) -> None:
        lengths = np.asarray(wavelengths, np.float64)
        shown = (lengths >= 2.0 * pixel_km) & np.isfinite(lengths)
        self.wavelengths = lengths[shown]
        self.truth = np.asarray(truth, np.float64)[shown]
        self.predicted = {
            name: np.asarray(values, np.float64)[shown] for name, values in predicted.items()
        }
        self.tiles = tiles


def draw_spectra(
    power: Axes,
    ratio: Axes,
    spectra: MeanSpectra,
    *,
    titles: Mapping[str, str],
    lines: Mapping[str, Mapping[str, Any]],
    predicted: str,
) -> None:
    """Draw power into one panel, and truth over prediction into the other.

    Parameters
    ----------
    power, ratio : Axes
    spectra : MeanSpectra
    titles, lines : mapping
        From the names of predictions to what the legend calls them, and to how they are drawn.
    predicted : str
        What predictions are called on the axis.
    """
    power.plot(spectra.wavelengths, spectra.truth, **TRUE_LINE, **_MARKERS, label="truth")
    for name, values in spectra.predicted.items():
        style: dict[str, Any] = {**lines[name], **_MARKERS}
        power.plot(spectra.wavelengths, values, **style, label=titles[name])
        # A dry field has no power; the line ends where it has none.
        known = np.where(values > 0, values, np.nan)
        ratio.plot(spectra.wavelengths, spectra.truth / known, **style)
    ratio.axhline(1.0, color="#000000", linewidth=0.8)
    power.set_ylabel(f"RAPSD, mean of {spectra.tiles} tiles [(mm/h)²]")
    ratio.set_ylabel(f"truth / {predicted} (above 1: too smooth)")
    for axes in (power, ratio):
        _wavelength_axis(axes)
    power.legend(fontsize=8)


def mean_spectra(
    spectra: MeanSpectra,
    *,
    titles: Mapping[str, str],
    lines: Mapping[str, Mapping[str, Any]],
    band_km: Sequence[float],
    attribution: str,
) -> Figure:
    """Draw mean spectra of predictions beside that of the truth, and their ratio.

    Parameters
    ----------
    spectra : MeanSpectra
    titles, lines : mapping
        As `draw_spectra` has them.
    band_km : sequence of float
        Shortest and longest wavelength that the ratio of the table is a mean over; shaded.
    attribution : str
        Source and licence of the data.

    Returns
    -------
    Figure
    """
    figure = new_figure(11.0, 4.4, attribution)
    power, ratio = figure.subplots(1, 2)
    draw_spectra(power, ratio, spectra, titles=titles, lines=lines, predicted="predicted")
    low, high = band_km
    ratio.axvspan(low, high, color="#F0F0F0", zorder=0, label=f"{low:g} to {high:g} km")
    ratio.legend(fontsize=8, title="mean of the table over", title_fontsize=8)
    return figure


def _wavelength_axis(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.invert_xaxis()
    axes.set_xlabel("wavelength [km]")
    axes.set_xticks(_WAVELENGTH_TICKS, [str(tick) for tick in _WAVELENGTH_TICKS])
    axes.minorticks_off()
    axes.grid(visible=True, alpha=0.3)
