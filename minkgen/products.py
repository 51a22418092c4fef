"""The OPERA products: what each holds, on which pixels, how often, and where a store keeps it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

__all__ = ["PRODUCTS", "Product", "product_of_group"]


@dataclass(frozen=True)
class Product:
    """One kind of composites.

    Attributes
    ----------
    quantity : str
        ODIM quantity: RATE, ACRR or DBZH.
    group : str
        The group of a store's composites that holds it.
    variable, long_name, standard_name, units : str
        What its values are called (CF), and their unit.
    undetect : float
        What a pixel has that was measured and had no echo.
    minutes : int
        From one composite to the next.
    pixel_km : float
        Side of a pixel.
    frames_per_shard : int
        Of the store; so many that a task needs less than 1.2 GB of memory.
    """

    quantity: str
    group: str
    variable: str
    long_name: str
    standard_name: str
    units: str
    undetect: float
    minutes: int
    pixel_km: float
    frames_per_shard: int

    @property
    def step(self) -> timedelta:
        """From one composite to the next."""
        return timedelta(minutes=self.minutes)

    @property
    def slots_per_day(self) -> int:
        """Composites of a day."""
        return timedelta(days=1) // self.step


PRODUCTS: dict[str, Product] = {
    product.quantity: product
    for product in (
        Product(
            quantity="RATE",
            group="rain_rate",
            variable="rain_rate",
            long_name="surface rain rate",
            standard_name="rainfall_rate",
            units="mm/h",
            undetect=0.0,
            minutes=15,
            pixel_km=2.0,
            frames_per_shard=24,
        ),
        Product(
            quantity="ACRR",
            group="accumulation",
            variable="rain_accumulation",
            long_name="rain accumulated over the window",
            standard_name="thickness_of_rainfall_amount",
            units="mm",
            undetect=0.0,
            minutes=15,
            pixel_km=2.0,
            frames_per_shard=24,
        ),
        Product(
            quantity="DBZH",
            group="reflectivity_1km",
            variable="reflectivity",
            long_name="horizontal reflectivity factor",
            standard_name="equivalent_reflectivity_factor",
            units="dBZ",
            undetect=-math.inf,
            minutes=5,
            pixel_km=1.0,
            frames_per_shard=3,
        ),
    )
}


def product_of_group(group: str) -> Product:
    """Return the product that a group of a store holds.

    Examples
    --------
    >>> product_of_group("reflectivity_1km").quantity
    'DBZH'
    """
    return next(product for product in PRODUCTS.values() if product.group == group)
