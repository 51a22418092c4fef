"""Scores against those of pysteps, scores and scoringrules, with matching settings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, label

from minkgen.evaluate.spectra import radial_spectrum
from minkgen.evaluate.superres.ensembles import fair_crps
from minkgen.evaluate.superres.fss import fss_scores, fss_sums
from minkgen.evaluate.superres.sal import sal


def large_objects(seed):
    """Return rain whose objects pysteps keeps: at least 50 pixels, and above its threshold."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((72, 96)), 4.0)
    noise /= noise.std()
    labels, count = label(noise > 0.6, np.ones((3, 3)))
    keep = (np.bincount(labels.ravel()) >= 60) & (np.arange(count + 1) > 0)
    return np.where(keep[labels], np.exp(1.5 * noise), 0.0).astype(np.float32)


# pysteps drops what its threshold cuts below 50 pixels, and merges objects whose first pixels are
# less than 10 pixels apart: these pairs have neither.
@pytest.mark.parametrize("seed", [0, 4, 6, 10])
def test_sal_equals_pysteps(seed):
    from pysteps.verification import salscores

    truth, predicted = large_objects(seed), large_objects(seed + 1)
    for field in (truth, predicted):
        threshold = np.quantile(field[field > 0].astype(float), 0.95) / 15
        objects = salscores._sal_detect_objects(field.astype(float), 1 / 15, 0.95, None)
        assert len(objects) == label(field >= threshold, np.ones((3, 3)))[1] > 2
    expected = salscores.sal(predicted.astype(float), truth.astype(float), thr_factor=1 / 15)
    np.testing.assert_allclose(sal(truth[None], predicted[None])[0][0], expected, rtol=1e-9)


@pytest.mark.parametrize("size", [32, 64])
def test_rapsd_equals_pysteps(size):
    from pysteps.utils.spectral import rapsd

    field = np.random.default_rng(0).gamma(0.5, 2.0, (size, size))
    expected = rapsd(field, fft_method=np.fft)
    np.testing.assert_allclose(
        radial_spectrum(field, window=False)[: len(expected)], expected, rtol=1e-9
    )
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    weights = np.outer(hann, hann)
    windowed = rapsd(field * weights, fft_method=np.fft) / np.square(weights).mean()
    np.testing.assert_allclose(radial_spectrum(field)[: len(expected)], windowed, rtol=1e-9)


def test_fss_equals_scores(setting, truth, members):
    import xarray as xr
    from scores.spatial import fss_2d

    found = fss_scores(setting, fss_sums(setting, truth, members[0]))["fss"]
    predicted, observed = (
        xr.DataArray(each, dims=("sample", "y", "x")) for each in (members[0], truth)
    )
    for u in setting.fss_mm_h:
        for window in setting.fss_windows:
            expected = fss_2d(
                predicted,
                observed,
                event_threshold=np.float32(u),
                window_size=(window, window),
                spatial_dims=("y", "x"),
                reduce_dims=["sample", "y", "x"],
                threshold_operator=np.greater_equal,
            )
            assert found[f"{u:g}"][str(window)] == pytest.approx(float(expected), rel=1e-9)


def test_crps_equals_scoringrules_and_scores(truth, members):
    import scoringrules
    import xarray as xr
    from scores.probability import crps_for_ensemble

    got = fair_crps(truth, members)
    assert (members[0] == members[1]).mean() > 0.3  # members tie where it is dry
    expected = scoringrules.crps_ensemble(
        truth.astype(float),
        members.astype(float),
        m_axis=0,
        estimator="fair",
        backend="numpy",  # numba's takes 10 s to compile
    )
    np.testing.assert_allclose(got, expected, atol=1e-12)
    ours = crps_for_ensemble(
        xr.DataArray(members.astype(float), dims=("member", "sample", "y", "x")),
        xr.DataArray(truth.astype(float), dims=("sample", "y", "x")),
        "member",
        method="fair",
    )
    assert got.mean() == pytest.approx(float(ours), rel=1e-12)
