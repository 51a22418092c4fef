"""Figures, made with matplotlib's object interface: no window, no state of pyplot.

Matplotlib is imported on use, because importing it writes a font cache into HOME. Surrogates have
one colour, marker and line in all figures (`style`).
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
from minkgen.evaluate.figures.style import as_png, line_of, tempered_line

__all__ = [
    "CASE_QUANTILES",
    "GammaCase",
    "InversionCase",
    "ResponseCurves",
    "as_png",
    "choose_cases",
    "fidelity_curves",
    "gamma_curves",
    "inverted_fields",
    "line_of",
    "response_of_a_cell",
    "tempered_line",
]
