"""Statistics of chunks: any grouping gives the same scores; what does not fit is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from minkgen.errors import InputError
from minkgen.evaluate.superres.scores import field_scores, scalar_scores
from minkgen.evaluate.superres.settings import ScoreSetting
from minkgen.evaluate.superres.statistics import field_statistics, merge_statistics


@pytest.fixture(scope="module")
def chunk(setting, truth, members, gammas):
    """Return a function from rows to their statistics."""

    def of(rows, count=3):
        return field_statistics(
            setting, truth[rows], members[:count, rows], gammas[0][rows], gammas[1][rows]
        )

    return of


def flat(value, path=""):
    """Yield every number of nested scores by its path."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from flat(each, f"{path}/{name}")
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from flat(each, f"{path}/{place}")
    else:
        yield path, value


def assert_same(got, expected):
    got, expected = dict(flat(got)), dict(flat(expected))
    assert got.keys() == expected.keys()
    for path, value in expected.items():
        if isinstance(value, float):
            assert got[path] == pytest.approx(value, rel=1e-12, abs=1e-15), path
        else:
            assert got[path] == value, path


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    "groups",
    [
        [range(12), range(12, 24)],
        [range(0, 24, 2), range(23, 0, -2)],
        [[row] for row in reversed(range(24))],
    ],
    ids=["halves", "interleaved", "one by one, backwards"],
)
def test_any_grouping_gives_the_same_scores(setting, chunk, groups, count):
    whole = chunk(slice(None), count)
    parts = [chunk(list(rows), count) for rows in groups]
    merged = merge_statistics(parts)
    assert merged.count == 24
    assert_same(field_scores(setting, merged), field_scores(setting, whole))
    # ... and merging from the right, as a tree would.
    other = parts[-1]
    for part in parts[-2::-1]:
        other = part.merge(other)
    assert_same(field_scores(setting, other), field_scores(setting, whole))


def test_scores_are_plain_json(setting, chunk):
    scores = field_scores(setting, chunk(slice(None)))
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    assert all(math.isfinite(value) for value in scalar_scores(scores).values())
    assert (scores["samples"], scores["members"]) == (24, 3)


def test_truth_as_its_own_prediction_is_perfect(setting, truth, gammas):
    scores = field_scores(
        setting, field_statistics(setting, truth, truth[None], gammas[0], gammas[0])
    )
    assert scores["mae"] == scores["rmse"] == 0.0
    assert scores["mass_bias"] == scores["peak_ratio"] == 1.0
    assert scores["loss"]["counting"] == scores["loss"]["measure"] == 0.0
    assert scores["rapsd"] == {"ratio": 1.0, "log_ratio": 0.0}
    assert scores["anisotropy"]["relative"] == 1.0
    assert scores["return_level"]["1e-05"] == {"truth": None, "predicted": None, "bias": None}
    assert {each for each in scores["exceedance_ratio"].values() if each is not None} == {1.0}
    assert {value for row in scores["fss"].values() for value in row.values()} == {1.0}
    for part in ("structure", "amplitude", "location"):
        assert scores["sal"][part] == {"mean": 0.0, "mean_absolute": 0.0, "pairs": 22}
    assert scores["sal"]["dry"] == {"both": 2, "truth": 0, "predicted": 0}
    assert scores["ensemble"] is None


def test_a_prediction_is_zeroed_below_drizzle_as_tiles_are(setting, truth, gammas):
    drizzling = truth + np.float32(0.09) * (truth == 0)
    got = field_scores(
        setting, field_statistics(setting, truth, drizzling[None], gammas[0], gammas[0])
    )
    assert got["mae"] == 0.0
    assert got["sal"]["dry"]["both"] == 2


def test_dry_predictions_leave_undefined_scores_empty(setting, truth, gammas):
    dry = np.zeros_like(truth)
    scores = field_scores(
        setting, field_statistics(setting, truth, dry[None], gammas[0], 0 * gammas[0])
    )
    assert scores["rapsd"] == {"ratio": None, "log_ratio": None}
    assert scores["anisotropy"]["predicted"] is scores["anisotropy"]["relative"] is None
    assert scores["mass_bias"] == scores["peak_ratio"] == 0.0
    assert scores["isoperimetric"]["perimeter"]["predicted"]["sets"] is None
    assert scores["sal"]["amplitude"] == {"mean": -2.0, "mean_absolute": 2.0, "pairs": 22}
    assert scores["sal"]["structure"] == {"mean": None, "mean_absolute": None, "pairs": 0}


def test_dry_truth_leaves_undefined_scores_empty(setting, truth, gammas):
    dry = np.zeros_like(truth)
    scores = field_scores(
        setting, field_statistics(setting, dry, truth[None], 0 * gammas[0], gammas[0])
    )
    assert scores["mass_bias"] is scores["peak_ratio"] is None
    assert set(scores["exceedance_ratio"].values()) == {None}
    assert scores["sal"]["amplitude"]["mean"] == 2.0


def test_scalars_are_found_by_their_paths():
    scores = {"a": 0.5, "b": {"c": None, "d": 1.5, "n": 3}, "curve": [0.1], "e": None}
    assert scalar_scores(scores) == {"a": 0.5, "b/d": 1.5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": lambda x: x[0]}, "there are no fields to score"),
        ({"truth": lambda x: x[:0]}, "there are no fields to score"),
        ({"members": lambda x: x[:, :5]}, "prediction and truth cannot be compared"),
        ({"members": lambda x: x - 1}, "a field is no rain rate"),
        ({"truth": lambda x: x * np.nan}, "a field is no rain rate"),
        ({"members": lambda x: x + np.inf}, "a field is no rain rate"),
        ({"gamma": lambda x: x[:, :2]}, "γ does not fit"),
        ({"gamma": lambda x: x * np.nan}, "γ does not fit"),
    ],
)
def test_what_does_not_fit_is_refused(setting, truth, members, gammas, change, message):
    same = {"truth": truth, "members": members, "gamma": gammas[1]}
    given = {name: change.get(name, lambda x: x)(array) for name, array in same.items()}
    with pytest.raises(InputError, match=message):
        field_statistics(setting, given["truth"], given["members"], gammas[0], given["gamma"])


def test_statistics_of_different_evaluations_are_not_merged(setting, chunk, truth, gammas):
    small = truth[:2, :24, :24]
    tiny = field_statistics(setting, small, small[None], gammas[0][:2], gammas[0][:2])
    fewer = replace(setting, fss_windows=(1,))
    other = field_statistics(fewer, truth, truth[None], gammas[0], gammas[0])
    for stranger in (tiny, other, chunk(slice(None), 3)):
        with pytest.raises(InputError, match="cannot be merged"):
            chunk(slice(None), 1).merge(stranger)
    with pytest.raises(InputError, match="nothing to score"):
        merge_statistics([])


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="not as many"):
        ScoreSetting(2.0, (1.0, 2.0), (1.0,), ("area",))
    with pytest.raises(InputError, match="no middle pixel"):
        ScoreSetting(2.0, (1.0,), (1.0,), ("area",), fss_windows=(1, 4))
