"""Figures, made with matplotlib's object interface: no window, no state of pyplot.

Matplotlib is imported on use, because importing it writes a font cache into HOME. Surrogates have
one colour, marker and line in all figures, and so have models of super-resolution (`style`).
"""

from minkgen.evaluate.figures.fidelity import fidelity_curves
from minkgen.evaluate.figures.gamma_curves import (
    CASE_QUANTILES,
    GammaCase,
    choose_cases,
    gamma_curves,
)
from minkgen.evaluate.figures.inversion import InversionCase, inverted_fields
from minkgen.evaluate.figures.mechanism import ResponseCurves, response_of_a_cell
from minkgen.evaluate.figures.spectra import MeanSpectra, mean_spectra
from minkgen.evaluate.figures.style import as_png, line_of, model_line, tempered_line
from minkgen.evaluate.figures.superres_fields import SceneCase, fields_side_by_side
from minkgen.evaluate.figures.superres_gamma import GammaResiduals, gamma_residuals
from minkgen.evaluate.figures.superres_reliability import Ensemble, reliability
from minkgen.evaluate.figures.superres_scores import perception_distortion, sal_plane

__all__ = [
    "CASE_QUANTILES",
    "Ensemble",
    "GammaCase",
    "GammaResiduals",
    "InversionCase",
    "MeanSpectra",
    "ResponseCurves",
    "SceneCase",
    "as_png",
    "choose_cases",
    "fidelity_curves",
    "fields_side_by_side",
    "gamma_curves",
    "gamma_residuals",
    "inverted_fields",
    "line_of",
    "mean_spectra",
    "model_line",
    "perception_distortion",
    "reliability",
    "response_of_a_cell",
    "sal_plane",
    "tempered_line",
]
