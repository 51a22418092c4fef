"""Spoiled copies of synthetic rain are ranked as they should be; the table of docs/metrics.md."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from minkgen.evaluate.superres.scores import field_scores
from minkgen.evaluate.superres.statistics import merge_statistics

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(PAGE.with_suffix(".py")))


@pytest.fixture(scope="module")
def statistics(script):
    return script["statistics_by_copy"](script["synthetic_days"](4))


@pytest.fixture(scope="module")
def scores(script, statistics):
    return {name: script["scores_of"](by_day) for name, by_day in statistics.items()}


def test_every_copy_is_seen_by_the_scores_meant_to_see_it(script, scores):
    for path, heading, seen, end in script["ROWS"]:
        assert end(scores, key=lambda name, path=path: scores[name][path]) == seen, heading
    assert {seen for _, _, seen, _ in script["ROWS"]} == scores.keys() - {"truth"}


def test_no_score_finds_fault_with_the_truth(script, scores):
    best = {"rapsd/ratio", "anisotropy/relative", "mass_bias", "peak_ratio"}
    best |= {"fss/1/5", "exceedance_ratio/1"}
    for path, heading, *_ in script["ROWS"]:
        expected = 1.0 if path in best else 0.0
        assert scores["truth"][path] == pytest.approx(expected, abs=1e-12), heading


def test_what_the_mean_error_prefers_is_found_out(scores):
    """The reason for the other scores: striped rain has less MAE than rain that moved."""
    assert scores["striped"]["mae"] < 0.5 * scores["displaced"]["mae"]
    assert scores["striped"]["anisotropy/relative"] > 2.0
    assert scores["displaced"]["anisotropy/relative"] == pytest.approx(1.0, abs=0.05)
    assert scores["striped"]["peak_ratio"] > 1.15  # filaments overshoot


def test_the_page_explains_every_score(script, statistics):
    page = PAGE.read_text(encoding="utf-8")
    assert script["markdown"](("score", "unit", "definition", "sign"), script["SCORES"]) in page
    scores = field_scores(script["setting"](), merge_statistics(statistics["striped"].values()))
    for name in scores.keys() - {"samples", "members"}:
        assert f"`{name}`" in page, name
    for _, heading, *_ in script["ROWS"]:
        assert f"\n| {heading} | " in page
