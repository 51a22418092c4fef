"""Which product rain is taken from, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from minkgen.grid import GRIDS
from minkgen.products import PRODUCTS
from minkgen.recipe.sections import PositiveFloat, Section

__all__ = ["ProductName", "ZR", "rain_faults"]

ProductName = Literal["RATE", "ACRR", "DBZH"]
_HOUR = 1.0


class ZR(Section):
    """The relation Z = a R^b between reflectivity (mm^6/m^3) and rain rate (mm/h)."""

    a: PositiveFloat = Field(default=200.0, description="Marshall and Palmer's by default")
    b: PositiveFloat = Field(default=1.6)


def rain_faults(
    product: ProductName, grid: str, *, hourly: bool, z_r: ZR | None, gap_hours: float
) -> list[str]:
    """Return what does not fit together in a recipe's choice of product, one text for each.

    Examples
    --------
    >>> rain_faults("DBZH", "opera_2km", hourly=False, z_r=None, gap_hours=6)
    ['grid: DBZH comes on opera_1km, test_1km']
    """
    pixel_km = PRODUCTS[product].pixel_km
    faults = []
    if GRIDS[grid].pixel_km != pixel_km:
        fitting = [name for name, known in GRIDS.items() if known.pixel_km == pixel_km]
        faults.append(f"grid: {product} comes on {', '.join(fitting)}")
    if hourly and product != "RATE":
        faults.append(f"hourly: sums are made of RATE, not of {product}")
    if z_r is not None and product != "DBZH":
        faults.append(f"z_r: {product} needs none, only DBZH does")
    if (hourly or product == "ACRR") and gap_hours < _HOUR:
        faults.append(
            f"splits.gap_hours: {gap_hours:g} lets two splits share frames of an hour's rain; "
            f"at least {_HOUR:g}"
        )
    return faults
