"""Evolving Gaussian random fields as sums of waves, a pure function of time.

Every wave of a periodic domain has a frozen amplitude, a random phase and a random angular
frequency. A displacement shifts the phases (advection, without interpolation); the frequencies make
patterns grow and decay. A field at one instant costs one inverse FFT and needs no earlier field.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

__all__ = ["Domain", "Waves"]


class Domain:
    """A periodic rectangle, north first, and the wave vectors on it.

    Parameters
    ----------
    least_shape : tuple of int
        Rows and columns it has at least; the next sizes that an FFT likes are taken.
    pixel_km : float
        Side of a pixel in km.

    Attributes
    ----------
    shape : tuple of int
        Rows H and columns W.
    southward : ndarray of float64, shape (H, 1)
        Wavenumber along the rows' axis in cycles per km.
    eastward : ndarray of float64, shape (1, W // 2 + 1)
        Wavenumber along the columns' axis, the half that a real field needs.
    """

    def __init__(self, least_shape: tuple[int, int], pixel_km: float) -> None:
        height, width = (scipy.fft.next_fast_len(side, real=True) for side in least_shape)
        self.shape: tuple[int, int] = (height, width)
        self.southward = np.fft.fftfreq(height, pixel_km).astype(np.float64)[:, None]
        self.eastward = np.fft.rfftfreq(width, pixel_km).astype(np.float64)[None, :]

    def wavenumber(
        self, elongation: float = 1.0, angle_degrees: float = 0.0
    ) -> npt.NDArray[np.float64]:
        """Return the length of the wave vectors as patches elongated along an angle have it.

        Parameters
        ----------
        elongation : float, optional
            Ratio of the sides of a patch along and across the angle.
        angle_degrees : float, optional
            Counter-clockwise from east.

        Returns
        -------
        ndarray of float64, shape (H, W // 2 + 1)
            Cycles per km.
        """
        angle = np.radians(angle_degrees)
        along = self.eastward * np.cos(angle) - self.southward * np.sin(angle)
        across = self.eastward * np.sin(angle) + self.southward * np.cos(angle)
        stretch = np.sqrt(elongation)
        length: npt.NDArray[np.float64] = np.hypot(along * stretch, across / stretch)
        return length

    def turns(self, east_km: float, north_km: float) -> npt.NDArray[np.float64]:
        """Return by how many turns a displacement shifts the phase of every wave, in (-1, 1)."""
        # Whole turns are dropped axis by axis: the displacement of centuries would cost digits.
        return (self.eastward * east_km) % 1.0 - (self.southward * north_km) % 1.0


@dataclass(frozen=True)
class Waves:
    """The waves of one field of zero mean and unit variance.

    Attributes
    ----------
    domain : Domain
    amplitude : ndarray of float32, shape (H, W // 2 + 1)
    phase : ndarray of float32
        Turns.
    frequency : ndarray of float32
        Turns per hour.
    """

    domain: Domain
    amplitude: npt.NDArray[np.float32]
    phase: npt.NDArray[np.float32]
    frequency: npt.NDArray[np.float32]

    @classmethod
    def draw(
        cls,
        domain: Domain,
        power: npt.NDArray[np.float64],
        frequency_spread: npt.NDArray[np.float64],
        random: np.random.Generator,
    ) -> Waves:
        """Draw phases and frequencies for a power spectrum.

        Phases are random, amplitudes are not: with random amplitudes the few longest waves would
        make one seed's field rougher or wetter than another's for ever.

        Parameters
        ----------
        domain : Domain
        power : ndarray of float64, shape (H, W // 2 + 1)
            Relative power; that of the mean is ignored.
        frequency_spread : ndarray of float64, shape (H, W // 2 + 1)
            Standard deviation of the angular frequency in radians per hour: a wave keeps a
            correlation of exp(-1/2) with itself over the inverse.
        random : numpy.random.Generator

        Returns
        -------
        Waves
        """
        height, width = domain.shape
        columns = np.full(power.shape[1], 2.0)  # each stands for its mirror image, too,
        columns[0] = 1.0  # except the waves along the rows' axis
        if width % 2 == 0:
            columns[-1] = 1.0  # and the shortest ones along the columns' axis
        share = power * columns
        share[0, 0] = 0.0
        amplitude = np.sqrt(share / columns / share.sum()) * (height * width)
        frequency = frequency_spread * random.standard_normal(power.shape) / (2.0 * np.pi)
        return cls(
            domain,
            amplitude.astype(np.float32),
            random.random(power.shape).astype(np.float32),
            frequency.astype(np.float32),
        )

    def field(self, hours: float, shift: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Return the field at an instant.

        Parameters
        ----------
        hours : float
            Time since any fixed epoch.
        shift : ndarray of float64, shape (H, W // 2 + 1)
            Displacement since that epoch, from `Domain.turns`.

        Returns
        -------
        ndarray of float32, shape (H, W)
        """
        # In float64: thousands of years of turns leave float32 no digits for the phase.
        turns = np.multiply(self.frequency, hours, dtype=np.float64) - shift + self.phase
        angle = (2.0 * np.pi * (turns % 1.0)).astype(np.float32)
        spectrum = np.empty(angle.shape, np.complex64)
        spectrum.real = self.amplitude * np.cos(angle)
        spectrum.imag = self.amplitude * np.sin(angle)
        field: npt.NDArray[np.float32] = scipy.fft.irfft2(
            spectrum, self.domain.shape, overwrite_x=True
        )
        return field
