import csv
import io

import numpy as np
import pytest

from minkgen.evaluate.metrics import EmulatorStatistics, emulator_scores
from minkgen.evaluate.published import PUBLISHED
from minkgen.evaluate.tables import (
    ScoreRow,
    columns_of,
    published_columns,
    rate_values,
    score_values,
    seeds_row,
    table_csv,
    table_json,
    table_text,
)

FUNCTIONALS = ("area", "perimeter", "components")


def scores_of(factor):
    rng = np.random.default_rng(0)
    area = np.sort(rng.uniform(100.0, 5000.0, (9, 4)), axis=1)[:, ::-1]
    target = np.stack([area, np.sqrt(area) * 3.0, rng.poisson(5.0, area.shape)], axis=1)
    # Rounder than any disk: every target set violates the isoperimetric inequality.
    predicted = target * factor
    predicted[:, 1] *= 2.0
    statistics = EmulatorStatistics.of(predicted, target, FUNCTIONALS)
    return emulator_scores(statistics, np.full(4, 0.25))


@pytest.fixture
def rows():
    """Return a model of three seeds, one of one seed, and the targets."""
    values = [score_values(scores_of(factor)) | {"unmoved": 0.5} for factor in (1.4, 1.5, 1.6)]
    targets = ScoreRow("targets", rate_values(scores_of(1.5).target))
    return [seeds_row("lip-cnn", values), seeds_row("pcr", values[:1]), targets]


def test_the_three_forms_hold_the_same_values(rows):
    columns = columns_of(FUNCTIONALS)
    listed = table_json(rows, columns)
    read = list(csv.DictReader(io.StringIO(table_csv(rows, columns))))
    text = table_text(rows, columns).splitlines()
    assert len(text) == 1 + len(columns)
    for column, line in zip(columns, text[1:], strict=True):
        assert line.startswith(column.title)
        cells = line.removeprefix(column.title).replace(" ± ", "±").split()
        for row, cell, entry in zip(listed, cells, read, strict=True):
            if row[column.key] is None:
                assert (cell, entry[column.key]) == ("-", "")
                continue
            value, _, spread = cell.partition("±")
            assert value == column.show(row[column.key])
            assert float(entry[column.key]) == row[column.key]
            assert bool(spread) == (column.key in row["spread"])
            if spread:
                assert spread == column.show(row["spread"][column.key])
                assert float(entry[f"{column.key}_spread"]) == row["spread"][column.key]


def test_every_score_of_a_model_has_a_column_and_the_reverse(rows):
    keys = {column.key for column in columns_of(FUNCTIONALS)}
    assert set(rows[0].scores) == keys
    assert set(rows[2].scores) == {
        "isoperimetric_sets",
        "isoperimetric_samples",
        "monotonicity_sets",
        "monotonicity_samples",
    }


def test_rows_hold_the_mean_and_the_spread_over_seeds(rows):
    losses = [scores_of(factor).loss_counting for factor in (1.4, 1.5, 1.6)]
    assert rows[0].scores["loss_counting"] == pytest.approx(np.mean(losses))
    assert rows[0].spreads["loss_counting"] == pytest.approx(np.std(losses, ddof=1))
    assert rows[1].scores["loss_counting"] == losses[0]
    assert rows[1].spreads == {}


def test_the_targets_show_their_own_violations(rows):
    assert rows[2].scores["isoperimetric_sets"] == 1.0
    assert rows[1].scores["isoperimetric_sets"] == 0.0
    text = table_text(rows[1:], columns_of(FUNCTIONALS))
    line = next(line for line in text.splitlines() if line.startswith("isoperimetric [% sets]"))
    assert line.split()[-2:] == ["0.00", "100.00"]


def test_headings_name_units(rows):
    text = table_text(rows, columns_of(FUNCTIONALS))
    assert "MAE area [km2]" in text
    assert "MAE perimeter [km]" in text


def test_the_published_numbers_have_columns_of_ours():
    columns = published_columns(FUNCTIONALS)
    for scores, spreads in PUBLISHED.values():
        assert list(scores) == [column.key for column in columns]
        assert set(spreads) <= set(scores)
    text = table_text([ScoreRow(name, *row) for name, row in PUBLISHED.items()], columns)
    assert "5.73 ± 0.01" in text
