"""Rain from the other products: rates from reflectivity, hourly sums from rates."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError

__all__ = [
    "FRAMES_PER_HOUR",
    "MARSHALL_PALMER",
    "accumulate_hour",
    "rain_rate_from_reflectivity",
    "rain_rate_of",
]

# a and b of Z = a R^b; what the NIMBUS rates state that they were made with.
MARSHALL_PALMER = (200.0, 1.6)
FRAMES_PER_HOUR = 4

Float32 = npt.NDArray[np.float32]


def rain_rate_from_reflectivity(
    reflectivity: Float32, a: float = MARSHALL_PALMER[0], b: float = MARSHALL_PALMER[1]
) -> Float32:
    """Return the rain rate whose drops reflect so much, by Z = a R^b.

    R = (10^(dBZ / 10) / a)^(1 / b), in single precision (relative error below 3e-6), neither
    rounded to 0.01 mm/h nor clipped: ceilings and clutter stay what they are.

    Parameters
    ----------
    reflectivity : ndarray of float32, any shape
        dBZ; -inf where there is no echo, NaN where there is no coverage.
    a, b : float, optional
        Z in mm^6/m^3, R in mm/h; Marshall and Palmer's by default.

    Returns
    -------
    ndarray of float32, same shape
        mm/h; 0 where there is no echo. NaN stays NaN, and what is not finite is missing, too.

    Raises
    ------
    InputError
        If a or b is not a positive number.

    Examples
    --------
    >>> rain_rate_from_reflectivity(np.array([64.0, 23.01, -np.inf, np.nan], np.float32)).round(2)
    array([364.63,   1.  ,   0.  ,    nan], dtype=float32)
    """
    _require_z_r(a, b)
    # log R, computed in place: a composite of 1 km has 67 MB.
    rate = np.asarray(reflectivity, np.float32) * np.float32(math.log(10.0) / (10.0 * b))
    rate -= np.float32(math.log(a) / b)
    with np.errstate(over="ignore"):
        np.exp(rate, out=rate)
    rate[np.isinf(rate)] = np.nan
    return rate


def _require_z_r(a: float, b: float) -> None:
    if not all(math.isfinite(value) and value > 0 for value in (a, b)):
        raise InputError("a Z-R relation needs positive numbers", got=f"a = {a:g}, b = {b:g}")


def rain_rate_of(values: Float32, quantity: str, z_r: tuple[float, float] | None = None) -> Float32:
    """Return the rain rate of a composite, whatever its product.

    Rates are returned as they are. So is the accumulation over an hour, whose mm are the mean rate
    of the hour in mm/h. Reflectivity is converted by Z = a R^b and rounded to 0.01 mm/h, as OPERA's
    own rates are: the last digits of an exponential differ between machines.

    Parameters
    ----------
    values : ndarray of float32, any shape
        mm/h, mm or dBZ; NaN without coverage.
    quantity : {"RATE", "ACRR", "DBZH"}
    z_r : tuple of float, optional
        a and b; Marshall and Palmer's by default.

    Returns
    -------
    ndarray of float32, same shape
        mm/h; NaN where there is no coverage.
    """
    if quantity != "DBZH":
        return values
    return rain_rate_from_reflectivity(values, *(z_r or MARSHALL_PALMER)).round(2)


def accumulate_hour(rates: npt.NDArray[np.floating]) -> Float32:
    """Return the rain of an hour from its four quarter-hourly rates.

    The four-frame rule, as NIMBUS makes its ACRR: the accumulation at time t is a quarter of the
    sum of the rates at t - 45, t - 30, t - 15 and t minutes (0.25 h each; the rate at t - 60
    belongs to the hour before). A pixel that lacks one of the four has none. On the real files this
    holds for every pixel, missing ones included, up to their rounding to 0.01 mm.

    Parameters
    ----------
    rates : ndarray of float, shape (4, H, W)
        mm/h; NaN where there is no coverage.

    Returns
    -------
    ndarray of float32, shape (H, W)
        mm; NaN where any of the four rates is NaN or infinite.

    Raises
    ------
    InputError
        If there are not four frames.

    Examples
    --------
    >>> hour = np.array([[[4.0, 4.0]], [[0.0, np.nan]], [[2.0, 0.0]], [[0.0, 0.0]]])
    >>> accumulate_hour(hour)
    array([[1.5, nan]], dtype=float32)
    """
    if rates.ndim != 3 or len(rates) != FRAMES_PER_HOUR:
        raise InputError(
            "an hour has four frames", got=f"shape {rates.shape}", expected="(4, H, W)"
        )
    total = rates.sum(axis=0, dtype=np.float64)
    total /= FRAMES_PER_HOUR
    total[~np.isfinite(total)] = np.nan
    accumulation: Float32 = total.astype(np.float32)
    return accumulation
