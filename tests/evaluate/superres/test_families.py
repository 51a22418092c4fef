"""Each family of scores on fields where they are known by hand or by brute force."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy.ndimage import label

from minkgen.errors import InputError
from minkgen.evaluate.spectra import radial_spectrum, sectors
from minkgen.evaluate.superres.ensembles import ensemble_scores, ensemble_sums, fair_crps
from minkgen.evaluate.superres.extremes import extreme_scores, peak_ratios, rate_histogram
from minkgen.evaluate.superres.fss import fss_scores, fss_sums
from minkgen.evaluate.superres.geometry import gamma_scores, gamma_sums
from minkgen.evaluate.superres.pixels import pixel_scores, pixel_sums
from minkgen.evaluate.superres.sal import sal, sal_scores
from minkgen.evaluate.superres.settings import ScoreSetting
from minkgen.evaluate.superres.spectra import spectral_scores, spectral_sums


def float32(values):
    return np.asarray(values, np.float32)


# Pixels


def test_pixel_scores_by_hand(setting):
    truth = float32([[[0.0, 1.0], [2.0, 5.0]]])
    predicted = float32([[[1.0, 1.0], [0.0, 10.0]]])
    scores = pixel_scores(setting, pixel_sums(setting, truth, predicted))
    assert scores["mae"] == 2.0
    assert scores["rmse"] == pytest.approx(np.sqrt(30 / 4))
    assert scores["mass_bias"] == 1.5
    ratios = scores["exceedance_ratio"]
    assert ratios == {"0.1": 1.0, "1": 1.0, "5": 1.0, "10": None, "20": None, "50": None}


def test_a_rate_on_the_threshold_exceeds_it_in_float32(setting):
    """0.1 is above 0.1 in float32 and below in float64: both sides are rounded alike."""
    truth = np.full((1, 4, 4), 0.1, np.float32)
    assert pixel_sums(setting, truth, truth)["wet_truth"][0] == 16


# SAL


def by_definition(truth, predicted):
    """Follow Wernli et al. (2008) object by object, on one pair."""

    def describe(field):
        field = field.astype(float)
        threshold = np.quantile(field[field > 0], 0.95) / 15
        labels, count = label(field >= threshold, np.ones((3, 3)))
        places = np.indices(field.shape)
        centre = [(each * field).sum() / field.sum() for each in places]
        volumes, distances, masses = [], [], []
        for number in range(1, count + 1):
            part = np.where(labels == number, field, 0.0)
            masses.append(part.sum())
            volumes.append(part.sum() / part.max())
            own = [(each * part).sum() / part.sum() for each in places]
            distances.append(np.hypot(own[0] - centre[0], own[1] - centre[1]))
        weights = np.array(masses) / np.sum(masses)
        return field.mean(), centre, weights @ distances, weights @ volumes

    (mean, centre, spread, volume), (mean_2, centre_2, spread_2, volume_2) = map(
        describe, (truth, predicted)
    )
    diagonal = np.hypot(*truth.shape)
    return [
        2 * (volume_2 - volume) / (volume_2 + volume),
        2 * (mean_2 - mean) / (mean_2 + mean),
        np.hypot(centre_2[0] - centre[0], centre_2[1] - centre[1]) / diagonal
        + 2 * abs(spread_2 - spread) / diagonal,
    ]


def test_sal_follows_its_definition_object_by_object(truth, members):
    scores, dry = sal(truth, members[0])
    assert {name: int(count) for name, count in dry.items()} == {
        "dry_both": 1,
        "dry_truth": 1,
        "dry_predicted": 1,
    }
    assert np.isnan(scores[0]).all()
    np.testing.assert_array_equal(scores[1], [np.nan, 2.0, np.nan])
    np.testing.assert_array_equal(scores[-1], [np.nan, -2.0, np.nan])
    for place in range(2, 23):
        expected = by_definition(truth[place], members[0, place])
        np.testing.assert_allclose(scores[place], expected, rtol=1e-9)


def test_objects_are_8_connected_and_of_any_size():
    """Two pixels that touch at a corner are one object of twice the volume, one pixel is one."""
    one, corner, apart = np.zeros((3, 1, 8, 8), np.float32)
    one[0, 3, 3] = 2.0
    corner[0, [3, 4], [3, 4]] = 2.0
    apart[0, [3, 5], [3, 5]] = 2.0
    assert sal(one, corner)[0][0, 0] == pytest.approx((2 - 1) / 1.5)
    assert sal(one, apart)[0][0, 0] == pytest.approx(0.0)


def test_location_is_in_units_of_the_diagonal():
    here, there = np.zeros((2, 1, 30, 40), np.float32)
    here[0, 5, 5] = there[0, 5, 35] = 1.0
    structure, amplitude, location = sal(here, there)[0][0]
    assert (structure, amplitude) == (0.0, 0.0)
    assert location == pytest.approx(30 / 50)


def test_sal_means_are_signed_and_absolute():
    sums = {
        f"dry_{name}": np.float64(count)
        for name, count in {"both": 4, "truth": 1, "predicted": 0}.items()
    }
    scores = sal_scores(np.array([[1.0, 2.0, 0.1], [-0.5, -1.0, 0.3], [np.nan, 2, np.nan]]), sums)
    assert scores["sal"]["structure"] == {"mean": 0.25, "mean_absolute": 0.75, "pairs": 2}
    assert scores["sal"]["amplitude"]["mean"] == 1.0
    assert scores["sal"]["dry"] == {"both": 4, "truth": 1, "predicted": 0}


# Spectra


def test_sectors_are_fine_modes_about_axes_and_diagonals():
    axes, diagonals = sectors(128, 2.0)
    assert not (axes & diagonals).any()
    for sector in (axes, diagonals):
        np.testing.assert_array_equal(sector, sector.T)
    rows, columns = np.nonzero(axes | diagonals)
    waves = np.fft.fftfreq(128) * 128
    length_km = 256 / np.hypot(waves[rows], waves[columns])
    assert 4.0 <= length_km.min() < 4.1
    assert 15.5 < length_km.max() < 16.0
    # Both are 60 of 180 degrees, up to modes on the border.
    assert axes.sum() == pytest.approx(diagonals.sum(), rel=0.02)
    assert axes.sum() == pytest.approx(np.pi * (64**2 - 16**2) / 3, rel=0.02)


def anisotropy(setting, truth, predicted):
    sums = spectral_sums(setting, truth, predicted) | {"pixels": np.float64(truth.size)}
    return spectral_scores(setting, sums, len(truth))["anisotropy"]


def test_white_noise_has_anisotropy_1_and_stripes_are_far_from_it(setting):
    noise = float32(np.random.default_rng(0).gamma(2.0, 1.0, (32, 64, 64)))
    assert anisotropy(setting, noise, noise)["truth"] == pytest.approx(1.0, abs=0.02)
    rows, columns = np.indices((64, 64))
    faint = 10 + 0.1 * noise
    for along in (rows, columns):  # every fourth row or column: 8 km
        assert anisotropy(setting, faint, faint * (1 + (along % 4 == 0)))["relative"] > 10
    slanted = faint * (1 + ((rows + columns) % 4 == 0))
    assert anisotropy(setting, faint, slanted)["relative"] < 0.1


def test_ratio_says_smooth_above_1_and_scales_as_power(setting):
    noise = float32(np.random.default_rng(1).gamma(2.0, 1.0, (4, 64, 64)))
    sums = spectral_sums(setting, noise, noise / 2) | {"pixels": np.float64(noise.size)}
    scores = spectral_scores(setting, sums, 4)
    assert scores["rapsd"]["ratio"] == pytest.approx(4.0)
    assert scores["rapsd"]["log_ratio"] == pytest.approx(np.log(4.0))
    assert scores["anisotropy"]["relative"] == pytest.approx(1.0)
    spectrum = scores["spectrum"]
    assert spectrum["wavelength_km"][0] == 128.0
    np.testing.assert_allclose(spectrum["truth"], 4 * np.array(spectrum["predicted"]))


def test_spectra_are_means_over_samples_before_they_are_compared(setting):
    """Not the mean of ratios: a weak tile counts as little as its power."""
    tiles = float32(np.random.default_rng(2).gamma(2.0, 1.0, (20, 64, 64)))
    tiles[1:] *= 0.01
    predicted = tiles.copy()
    predicted[1:] *= 10.0
    sums = spectral_sums(setting, tiles, predicted) | {"pixels": np.float64(tiles.size)}
    means = [radial_spectrum(each).mean(axis=0) for each in (tiles, predicted)]
    rings = slice(1, 33)  # 128 to 4 km
    expected = (means[0] / means[1])[rings].mean()
    assert spectral_scores(setting, sums, 20)["rapsd"]["ratio"] == pytest.approx(expected)
    assert expected > 0.7  # the mean of the tiles' ratios is 0.06


# FSS


def test_fss_by_brute_force(setting):
    random = np.random.default_rng(0)
    truth, predicted = float32(random.gamma(0.5, 2.0, (2, 3, 12, 15)))
    small = replace(setting, fss_mm_h=(0.5, 2.0), fss_windows=(1, 3, 7))
    found = fss_scores(small, fss_sums(small, truth, predicted))["fss"]
    for u, window in itertools.product(small.fss_mm_h, small.fss_windows):
        shares = [
            np.lib.stride_tricks.sliding_window_view(each >= u, (window, window), axis=(1, 2)).mean(
                axis=(3, 4)
            )
            for each in (truth, predicted)
        ]
        unlike = np.square(shares[1] - shares[0]).sum()
        expected = 1 - unlike / (np.square(shares[0]).sum() + np.square(shares[1]).sum())
        assert found[f"{u:g}"][str(window)] == pytest.approx(expected, rel=1e-12)


def test_fss_is_0_without_overlap_and_empty_without_rain(setting):
    here, there = np.zeros((2, 1, 32, 32), np.float32)
    here[0, :4], there[0, -4:] = 3.0, 3.0
    scores = fss_scores(setting, fss_sums(setting, here, there))["fss"]
    assert scores["1"] == {"1": 0.0, "5": 0.0, "11": 0.0, "21": 0.0}
    assert scores["5"]["1"] is None


def test_a_window_larger_than_the_tile_is_refused(setting):
    tile = np.ones((1, 16, 16), np.float32)
    with pytest.raises(InputError, match="window is larger than the tile"):
        fss_sums(setting, tile, tile)


# Ensembles


def test_crps_is_that_of_pairs_also_when_members_tie():
    random = np.random.default_rng(0)
    members = np.round(random.gamma(0.3, 2.0, (5, 200)), 0)  # mostly ties
    truth = np.round(random.gamma(0.3, 2.0, 200), 0)
    between = np.abs(members[:, None] - members[None]).sum(axis=(0, 1)) / (2 * 5 * 4)
    expected = np.abs(members - truth).mean(axis=0) - between
    np.testing.assert_allclose(fair_crps(truth, members), expected, atol=1e-12)
    np.testing.assert_array_equal(fair_crps(truth, np.stack([truth + 1] * 3)), np.ones(200))


def test_the_fair_crps_does_not_depend_on_the_number_of_members():
    random = np.random.default_rng(1)
    truth = random.standard_normal(200_000)
    few, many = (fair_crps(truth, random.standard_normal((m, truth.size))).mean() for m in (2, 12))
    assert few == pytest.approx(1 / np.sqrt(np.pi), abs=0.01)  # of a normal and its like
    assert many == pytest.approx(1 / np.sqrt(np.pi), abs=0.01)


def test_members_like_the_truth_are_reliable_and_have_spread_equal_to_skill(setting):
    drawn = float32(np.random.default_rng(2).gamma(1.0, 3.0, (5, 12, 64, 64)))
    truth, members = drawn[0], drawn[1:]
    sums = ensemble_sums(setting, truth, members) | pixel_sums(setting, truth, members[0])
    scores = ensemble_scores(setting, sums, 4)["ensemble"]
    assert scores["spread_skill"] == pytest.approx(1.0, abs=0.02)
    assert scores["skill"] == pytest.approx(3 * np.sqrt(5 / 4), rel=0.02)
    reliability = scores["reliability"]["5"]
    assert reliability["probability"] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert sum(reliability["pixels"]) == truth.size
    # Independent of the truth: it is there as often, whatever the members say.
    np.testing.assert_allclose(reliability["frequency"][:3], np.exp(-5 / 3), atol=0.03)
    too_sure = ensemble_sums(setting, truth, 1.0 + 0.1 * (members - 1.0))
    sure = ensemble_scores(setting, sums | too_sure, 4)["ensemble"]
    assert sure["spread_skill"] < 0.2
    assert sure["mae_of_mean"] > 0


# Extremes


def test_peak_ratio_is_the_median_over_samples_with_rain(setting):
    truth, predicted = np.zeros((2, 4, 4, 4), np.float32)
    truth[:3, 1, 1] = (2.0, 4.0, 10.0)
    predicted[:, 2, 2] = (2.0, 2.0, 20.0, 7.0)
    ratios = peak_ratios(truth, predicted)
    np.testing.assert_array_equal(ratios, [1.0, 0.5, 2.0, np.nan])
    rates = {"truth": rate_histogram(truth), "predicted": rate_histogram(predicted)}
    assert extreme_scores(setting, ratios, rates)["peak_ratio"] == 1.0


def test_return_levels_are_quantiles_of_all_pixels(setting):
    random = np.random.default_rng(0)
    truth = float32(np.round(random.gamma(0.1, 8.0, (20, 128, 128)), 2))
    predicted = float32(random.gamma(0.1, 9.0, truth.shape))
    levels = replace(setting, return_probabilities=(1e-2, 1e-5, 1e-6))
    rates = {"truth": rate_histogram(truth), "predicted": rate_histogram(predicted)}
    assert rates["truth"].total == truth.size
    found = extreme_scores(levels, np.ones(1), rates)["return_level"]
    for share in (1e-2, 1e-5):
        expected = [
            np.quantile(each, 1 - share, method="inverted_cdf") for each in (truth, predicted)
        ]
        got = found[f"{share:g}"]
        assert got["truth"] == pytest.approx(expected[0], abs=1e-6)
        assert got["predicted"] == pytest.approx(expected[1], abs=0.005 + 1e-6)
        assert got["bias"] == pytest.approx(got["predicted"] / got["truth"] - 1)
    assert found["1e-06"]["bias"] is None  # 0.3 pixels above it


def test_histograms_count_zeros_and_round_to_the_grid():
    histogram = rate_histogram(float32([[0.0, 0.1, 0.104, 0.106, 12345.67]]))
    assert histogram.values.tolist() == [0, 10, 11, 1234567]
    assert histogram.counts.tolist() == [1, 2, 1, 1]
    assert rate_histogram(np.ones((1, 2, 2), np.float32)).values.tolist() == [100]
    assert histogram.inverted_cdf(Fraction(1, 2)) == 10


# Geometry


def test_loss_by_hand_in_both_measures():
    setting = ScoreSetting(
        2.0, (1.0, 2.0), (0.25, 0.5), ("area", "perimeter", "components", "holes")
    )
    truth = np.zeros((2, 4, 2))
    predicted = truth.copy()
    predicted[0, 0, 0] = np.expm1(1.0)  # one unit of log error at the first threshold
    truth[1, 2, 1] = np.expm1(3.0)  # three at the second, too little
    predicted[1, 3, 1] = np.expm1(7.0)  # holes are no part of L_M
    loss = gamma_scores(setting, gamma_sums(setting, truth, predicted), 2)["loss"]
    assert loss["counting"] == pytest.approx(2.0)
    assert loss["measure"] == pytest.approx((0.25 + 1.5) / 2)
    assert loss["of"] == ["area", "perimeter", "components"]
    per_functional = loss["per_functional"]
    assert per_functional["components"] == pytest.approx(
        {"counting": 1.5, "measure": 0.75, "bias": -0.75}
    )
    assert per_functional["holes"]["counting"] == pytest.approx(3.5)


def test_isoperimetric_rates_are_of_each_perimeter_and_side():
    setting = ScoreSetting(1.0, (1.0, 2.0), (1.0, 1.0), ("area", "perimeter", "perimeter_closed"))
    truth = np.array([[[4.0, 0.0], [100.0, 0.0], [100.0, 0.0]]] * 2)
    predicted = truth.copy()
    predicted[0, 1, 0] = 1.0  # P² = 1 < 4 π 4
    rates = gamma_scores(setting, gamma_sums(setting, truth, predicted), 2)["isoperimetric"]
    none = {"sets": 0.0, "samples": 0.0}
    assert rates == {
        "perimeter": {"truth": none, "predicted": {"sets": 0.5, "samples": 0.5}},
        "perimeter_closed": {"truth": none, "predicted": none},
    }
