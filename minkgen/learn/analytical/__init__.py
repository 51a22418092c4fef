"""The analytical surrogate: soft excursion sets, and what is measured of them in closed form.

`soft_sets` relaxes the sets, `cells` sums over vertices, edges and faces of the pixel grid,
`euler` and `perimeter` are made of them, `morphology` filters what is counted, and `surrogate`
joins it all.
"""

from minkgen.learn.analytical.surrogate import CLOSED_FORMS, AnalyticalGamma

__all__ = ["CLOSED_FORMS", "AnalyticalGamma"]
