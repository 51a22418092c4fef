"""Which product rain is taken from, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from minkgen.grid import GRIDS, OWN_GRID
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
    product: ProductName,
    grid: str,
    *,
    own: bool,
    hourly: bool,
    z_r: ZR | None,
    gap_hours: float,
) -> list[str]:
    """Return what does not fit together in a recipe's choice of product, one text for each.

    Examples
    --------
    >>> rain_faults("DBZH", "opera_2km", own=False, hourly=False, z_r=None, gap_hours=6)
    ['grid: DBZH comes on opera_1km, test_1km']
    """
    if own:
        return _own_faults(product, grid, hourly=hourly, z_r=z_r)
    pixel_km = PRODUCTS[product].pixel_km
    faults = []
    if grid == OWN_GRID or GRIDS[grid].pixel_km != pixel_km:
        fitting = [name for name, known in GRIDS.items() if known.pixel_km == pixel_km]
        faults.append(
            f"grid: {product} comes on {', '.join(fitting)}"
            + (f"; {OWN_GRID} goes with source.kind xarray" if grid == OWN_GRID else "")
        )
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


def _own_faults(product: ProductName, grid: str, *, hourly: bool, z_r: ZR | None) -> list[str]:
    faults = []
    if grid != OWN_GRID:
        faults.append(
            f"grid: {grid} is one of OPERA's; fields of your own (source.kind xarray) come on the "
            f"grid of their coordinates: leave the key out, or write {OWN_GRID}"
        )
    if product != "RATE":
        faults.append(f"product: fields of your own are rain rates, not {product}: leave it out")
    if z_r is not None:
        faults.append("z_r: fields of your own are rain rates and need none")
    if hourly:
        faults.append("hourly: sums are made of OPERA's RATE, not of fields of your own")
    return faults
