from __future__ import annotations

import numpy as np
import pytest

from minkgen.errors import InputError
from minkgen.evaluate.spectra import (
    radial_spectrum,
    ring_numbers,
    spectral_ratio,
    wavelengths_km,
)

SIZE = 32


def test_parseval_the_rings_hold_the_whole_power():
    field = np.random.default_rng(0).gamma(0.5, 2.0, (3, SIZE, SIZE))
    modes = np.bincount(ring_numbers(SIZE).ravel())
    assert modes.sum() == SIZE**2
    total = (radial_spectrum(field, window=False) * modes).sum(axis=-1)
    np.testing.assert_allclose(total, np.square(field).sum(axis=(1, 2)), rtol=1e-12)
    # With the window it is the energy of the weighted field, by the window's mean square.
    hann = np.sin(np.pi * np.arange(SIZE) / SIZE) ** 2
    weights = np.outer(hann, hann)
    weighted = (radial_spectrum(field) * modes).sum(axis=-1)
    expected = np.square(field * weights).sum(axis=(1, 2)) / np.square(weights).mean()
    np.testing.assert_allclose(weighted, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("rows", "columns", "ring"), [(5, 0, 5), (0, 7, 7), (3, 4, 5), (6, -8, 10)]
)
def test_a_wave_has_its_power_in_its_ring(rows, columns, ring):
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    wave = np.cos(2.0 * np.pi * (rows * y + columns * x))
    spectrum = radial_spectrum(wave, window=False)
    assert np.flatnonzero(spectrum > 1e-9).tolist() == [ring]
    modes = np.bincount(ring_numbers(SIZE).ravel())
    assert spectrum[ring] * modes[ring] == pytest.approx(np.square(wave).sum())
    # The window spreads it to the next modes only.
    spread = radial_spectrum(wave) * modes
    assert spread[ring - 1 : ring + 2].sum() > 0.98 * spread.sum()


@pytest.mark.parametrize("window", [True, False])
def test_white_noise_is_flat_at_its_variance(window):
    noise = 3.0 * np.random.default_rng(1).standard_normal((400, SIZE, SIZE))
    mean = radial_spectrum(noise, window=window).mean(axis=0)
    np.testing.assert_allclose(mean[1 : SIZE // 2], 9.0, rtol=0.1)


def test_wavelengths_are_those_of_waves_along_the_side():
    wavelengths = wavelengths_km(128, 2.0)
    assert wavelengths[1] == 256.0
    assert wavelengths[64] == 4.0


def test_the_ratio_is_of_rings_of_4_to_200_km_only():
    wavelengths = wavelengths_km(128, 2.0)
    truth, predicted = np.ones_like(wavelengths), np.ones_like(wavelengths)
    truth[[0, 1]] = truth[65:] = 1e6  # the mean, 256 km, and less than 4 km
    assert spectral_ratio(truth, predicted, wavelengths) == {"ratio": 1.0, "log_ratio": 0.0}
    predicted[2:33], predicted[33:65] = 0.5, 2.0
    compared = spectral_ratio(truth, predicted, wavelengths)
    assert compared["ratio"] == pytest.approx((31 * 2.0 + 32 * 0.5) / 63)
    assert compared["log_ratio"] == pytest.approx(np.log(2.0))


def test_what_has_no_spectrum_is_refused():
    with pytest.raises(InputError, match="square"):
        radial_spectrum(np.zeros((4, 8)))
    with pytest.raises(InputError, match="not finite"):
        radial_spectrum(np.full((4, 4), np.nan))
    with pytest.raises(InputError, match="cannot be compared"):
        spectral_ratio([1.0, 1.0], [1.0, 0.0], [np.inf, 100.0])
    with pytest.raises(InputError, match="cannot be compared"):
        spectral_ratio([1.0, 1.0], [1.0, 1.0], [np.inf, 500.0])
