"""Power spectra of square tiles: radially averaged (RAPSD), and by direction.

The 2-D Hann window, |DFT|², and the mean over rings of integer wavenumber (equations 5 and 6 of
the paper), or over sectors about the axes and the diagonals. Spectra of many tiles are averaged
before they are compared.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.fft import fft2

from minkgen.errors import InputError

__all__ = [
    "compared_rings",
    "power_spectrum",
    "radial_spectrum",
    "ring_means",
    "ring_numbers",
    "sectors",
    "spectral_ratio",
    "wavelengths_km",
]

# Wavelengths whose rings are compared, in km.
RATIO_RANGE_KM = (4.0, 200.0)
# What is drawn along the grid, or speckled, stands below this wavelength.
FINE_KM = 16.0
SECTOR_DEGREES = 15.0

Float64Array = npt.NDArray[np.float64]


def ring_numbers(size: int) -> npt.NDArray[np.int64]:
    """Return the ring of every mode of a (size, size) DFT: its wavenumber, rounded.

    The wavenumber counts waves along the tile's side; rings reach to the corner, beyond size / 2.

    Examples
    --------
    >>> ring_numbers(4)[:2].tolist()
    [[0, 1, 2, 1], [1, 1, 2, 1]]
    """
    waves = size * np.fft.fftfreq(size)
    rings: npt.NDArray[np.int64] = np.rint(np.hypot(waves[:, None], waves)).astype(np.int64)
    return rings


def wavelengths_km(size: int, pixel_km: float) -> Float64Array:
    """Return the wavelength of every ring in km, infinite for ring 0.

    Examples
    --------
    >>> wavelengths_km(4, 2.0).tolist()
    [inf, 8.0, 4.0, 2.6666666666666665]
    """
    rings = np.arange(ring_numbers(size).max() + 1, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return size * pixel_km / rings


def power_spectrum(fields: npt.ArrayLike, *, window: bool = True) -> Float64Array:
    """Return the power of each mode of the 2-D DFT.

    Parameters
    ----------
    fields : array_like (..., N, N)
        In mm/h, without missing pixels.
    window : bool, optional
        Weigh with the periodic 2-D Hann window, so that the frame's jump leaks into no ring.

    Returns
    -------
    array (..., N, N)
        In (mm/h)², divided by the window's mean square: white noise of variance s² has s² in every
        mode. Modes in the order of `numpy.fft.fftfreq`.

    Raises
    ------
    InputError
        If the fields are not square or hold values that are not finite.
    """
    values = np.asarray(fields, np.float64)
    if values.ndim < 2 or values.shape[-1] != values.shape[-2]:
        raise InputError("a spectrum is of square tiles", got=values.shape, expected="(..., N, N)")
    if not np.isfinite(values).all():
        raise InputError("the field holds values that are not finite", where="fields")
    size = values.shape[-1]
    weights = np.ones((size, size))
    if window:
        hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)
        weights = np.outer(hann, hann)
    modes = fft2(values * weights)
    power: Float64Array = (modes.real**2 + modes.imag**2) / np.square(weights).sum()
    return power


def ring_means(power: Float64Array) -> Float64Array:
    """Return the mean over each ring of `ring_numbers`; (..., N, N) becomes (..., K)."""
    size = power.shape[-1]
    rings = ring_numbers(size).ravel()
    sums = np.apply_along_axis(
        lambda of_tile: np.bincount(rings, weights=of_tile),
        -1,
        power.reshape(*power.shape[:-2], size * size),
    )
    means: Float64Array = sums / np.bincount(rings)
    return means


def radial_spectrum(fields: npt.ArrayLike, *, window: bool = True) -> Float64Array:
    """Return the mean power of each ring of wavenumbers.

    Parameters
    ----------
    fields : array_like (..., N, N)
        In mm/h, without missing pixels.
    window : bool, optional
        As in `power_spectrum`.

    Returns
    -------
    array (..., K)
        In (mm/h)² per mode; rings as in `ring_numbers`, the mean of the field in ring 0.

    Raises
    ------
    InputError
        As `power_spectrum`.
    """
    return ring_means(power_spectrum(fields, window=window))


def sectors(size: int, pixel_km: float) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the fine modes within 15 degrees of the axes, and those of the diagonals.

    Fine modes are shorter than 16 km and not shorter than two pixels: beyond that, the corners of
    the DFT hold diagonal modes alone.

    Parameters
    ----------
    size : int
        N, the tile's side in pixels.
    pixel_km : float

    Returns
    -------
    tuple of array of bool (N, N)
        In the order of `power_spectrum`.

    Examples
    --------
    >>> axes, diagonals = sectors(32, 2.0)
    >>> axes[0, 10], axes[10, 10], diagonals[0, 10], diagonals[10, 10], axes[0, 3]
    (np.True_, np.False_, np.False_, np.True_, np.False_)
    """
    waves = size * np.fft.fftfreq(size)
    wavenumber = np.hypot(waves[:, None], waves)
    fine = (wavenumber > size * pixel_km / FINE_KM) & (wavenumber <= size / 2)
    # Angle from the nearer axis, 0 to 45 degrees.
    angle = np.degrees(np.arctan2(np.abs(waves[:, None]), np.abs(waves)))
    angle = np.minimum(angle, 90.0 - angle)
    return fine & (angle <= SECTOR_DEGREES), fine & (angle >= 45.0 - SECTOR_DEGREES)


def compared_rings(wavelengths: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Return which rings are compared: those of 4 to 200 km.

    Examples
    --------
    >>> compared_rings([np.inf, 256.0, 100.0, 3.9])
    array([False, False,  True, False])
    """
    wavelengths = np.asarray(wavelengths, np.float64)
    low, high = RATIO_RANGE_KM
    return (wavelengths >= low) & (wavelengths <= high)


def spectral_ratio(
    truth: npt.ArrayLike, predicted: npt.ArrayLike, wavelengths: npt.ArrayLike
) -> dict[str, float]:
    """Compare two mean spectra over the rings of 4 to 200 km.

    Parameters
    ----------
    truth, predicted : array_like (K,)
        Mean power of each ring over the same tiles.
    wavelengths : array_like (K,)
        From `wavelengths_km`.

    Returns
    -------
    dict
        `ratio`, the mean of P_truth / P_predicted (above 1: too smooth), and `log_ratio`, the mean
        of its absolute logarithm, which errors of both signs cannot cancel.

    Raises
    ------
    InputError
        If no ring lies in the range, or the prediction has no power in one.

    Examples
    --------
    >>> spectral_ratio([9.0, 2.0, 4.0], [9.0, 1.0, 2.0], [np.inf, 100.0, 50.0])["ratio"]
    2.0
    """
    rings = compared_rings(wavelengths)
    of_truth, of_prediction = (np.asarray(each, np.float64)[rings] for each in (truth, predicted))
    if not rings.any() or not (of_prediction > 0).all() or not (of_truth > 0).all():
        raise InputError(
            "spectra cannot be compared",
            got=f"{int(rings.sum())} rings of {RATIO_RANGE_KM[0]:g} to {RATIO_RANGE_KM[1]:g} km",
            expected="at least one, with power in both spectra",
        )
    ratio = of_truth / of_prediction
    return {"ratio": float(ratio.mean()), "log_ratio": float(np.abs(np.log(ratio)).mean())}
