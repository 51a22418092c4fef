"""What composites hold, on which pixels, how often, and where a store keeps them.

OPERA's products are fixed. Rain rates of one's own come as often, and on such pixels, as the fields
that they are read from say; the identity of the store keeps that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

__all__ = [
    "GROUPS",
    "OWN",
    "PRODUCTS",
    "SYNTHETIC_MARK",
    "Product",
    "own_frames_per_shard",
    "own_product",
    "product_of_group",
]

# Stands in `what/source` of made-up files, so that nobody takes them for measurements.
SYNTHETIC_MARK = "CMT:synthetic"
# What rain rates of one's own are called where OPERA's products have their ODIM quantity.
OWN = "OWN"
_OWN_GROUP = "own_rain_rate"
# Of a shard of one's own fields, so that a task needs less than 1.2 GB of memory.
_MOST_PIXELS, _MOST_FRAMES = 100_000_000, 24


@dataclass(frozen=True)
class Product:
    """One kind of composites.

    Attributes
    ----------
    quantity : str
        ODIM quantity: RATE, ACRR or DBZH; OWN for rain rates of one's own.
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


# Where a store keeps each quantity.
GROUPS: dict[str, str] = {
    **{quantity: product.group for quantity, product in PRODUCTS.items()},
    OWN: _OWN_GROUP,
}


def own_product(minutes: int, pixel_km: float, frames_per_shard: int) -> Product:
    """Return rain rates of one's own as a product.

    Parameters
    ----------
    minutes : int
        From one field to the next; divides a day.
    pixel_km : float
    frames_per_shard : int
        Divides the fields of a day, as `own_frames_per_shard` chooses it.
    """
    return Product(
        quantity=OWN,
        group=_OWN_GROUP,
        variable="rain_rate",
        long_name="surface rain rate",
        standard_name="rainfall_rate",
        units="mm/h",
        undetect=0.0,
        minutes=minutes,
        pixel_km=pixel_km,
        frames_per_shard=frames_per_shard,
    )


def own_frames_per_shard(minutes: int, shape: tuple[int, int]) -> int:
    """Return how many fields of one's own a shard holds: a whole number of shards is a day.

    Examples
    --------
    >>> own_frames_per_shard(10, (256, 384)), own_frames_per_shard(5, (4400, 3800))
    (24, 4)
    """
    slots = 24 * 60 // minutes
    room = max(1, min(_MOST_FRAMES, _MOST_PIXELS // (shape[0] * shape[1])))
    return max(frames for frames in range(1, room + 1) if slots % frames == 0)


def product_of_group(group: str) -> Product:
    """Return the OPERA product that a group of a store holds.

    Examples
    --------
    >>> product_of_group("reflectivity_1km").quantity
    'DBZH'
    """
    return next(product for product in PRODUCTS.values() if product.group == group)
