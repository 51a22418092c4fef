"""The numbers of the paper's Table 1, printed beside ours.

Source: Quarenghi, Cotsakis and Beucler, arXiv 2604.11422 (13 April 2026), Table 1. The paper trains
on about a million tiles and tests on later months. Which transform and measure each of its columns
uses is not said there: its L_M ranks the analytical form an order below every network, its R² far
above them in error, so that they cannot be of one and the same error.
"""

from __future__ import annotations

from typing import Any

__all__ = ["NOTE", "PUBLISHED", "SOURCE", "published_json"]

SOURCE = "Quarenghi, Cotsakis and Beucler, arXiv 2604.11422, Table 1"
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


def published_json() -> dict[str, Any]:
    """Return the published table as plain JSON values."""
    return {
        "source": SOURCE,
        "note": NOTE,
        "rows": [
            {"name": name, **scores, "spread": spreads}
            for name, (scores, spreads) in PUBLISHED.items()
        ],
    }
