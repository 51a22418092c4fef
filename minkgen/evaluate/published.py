"""The numbers of the paper's Tables 1 (surrogates) and 2 (super-resolution), printed beside ours.

Source: Quarenghi, Cotsakis and Beucler, arXiv 2604.11422 (13 April 2026). The paper trains on about
a million tiles and tests on later months. Which transform and measure each column of Table 1 uses
is not said there: its L_M ranks the analytical form an order below every network, its R² far above
them in error, so that they cannot be of one and the same error. Table 2 does not say how pairs that
are dry are counted, nor the smallest object of SAL.
"""

from __future__ import annotations

__all__ = ["NOTE", "PUBLISHED", "PUBLISHED_SUPERRES", "SOURCE", "SUPERRES_SOURCE"]

_PAPER = "Quarenghi, Cotsakis and Beucler, arXiv 2604.11422"
SOURCE, SUPERRES_SOURCE = f"{_PAPER}, Table 1", f"{_PAPER}, Table 2"
NOTE = "the paper trains on about a million tiles"

# Columns as in `minkgen.evaluate.tables`; the isoperimetric violations are shares, 0 to 1.
_COLUMNS = (
    "loss_counting",
    "r2_log1p",
    "r2_log1p_area",
    "r2_log1p_perimeter",
    "r2_log1p_components",
    "isoperimetric_sets",
)
_VALUES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "pcr": ((5.36, 0.35, 0.46, 0.39, 0.25, 0.270), ()),
    "analytical": ((1.03, 0.67, 0.99, 0.92, 0.14, 0.003), ()),
    "cnn": ((5.77, 0.95, 0.94, 0.94, 0.96, 0.078), (0.02, 0.02, 0.02, 0.01, 0.02, 0.003)),
    "lip-cnn": ((5.74, 0.88, 0.79, 0.91, 0.95, 0.058), (0.01, 0.03, 0.03, 0.01, 0.03, 0.002)),
    "lip-cnn-constrained": (
        (5.73, 0.99, 0.99, 0.99, 0.97, 0.0),
        (0.01, 0.01, 0.01, 0.01, 0.02),
    ),
}

# By the surrogate's name: scores by the column's key, and their spreads where they are published.
PUBLISHED: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    name: (dict(zip(_COLUMNS, values, strict=True)), dict(zip(_COLUMNS, spreads, strict=False)))
    for name, (values, spreads) in _VALUES.items()
}

# Paths as `minkgen.evaluate.superres` has them; MAE in mm/h.
_SUPERRES_COLUMNS = (
    "loss/counting",
    "mae",
    "sal/structure/mean",
    "sal/amplitude/mean",
    "sal/location/mean",
    "rapsd/ratio",
)

# By the title of our row: scores by the column's key.
PUBLISHED_SUPERRES: dict[str, dict[str, float]] = {
    title: dict(zip(_SUPERRES_COLUMNS, values, strict=True))
    for title, values in {
        "Bicubic": (3.44, 0.06, 0.37, -0.01, 0.06, 1.04),
        "U-Net": (3.21, 0.05, 0.32, 0.09, 0.15, 2.88),
        "U-Net + analytical": (2.74, 0.05, 0.41, -0.20, 0.03, 1.37),
        "U-Net + emulator": (3.25, 0.05, 0.31, -0.29, 0.07, 1.78),
        "DDIM": (2.96, 0.09, -0.08, 0.26, 0.17, 0.97),
    }.items()
}
