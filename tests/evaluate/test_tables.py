import csv
import io

import numpy as np
import pytest

from minkgen.evaluate.metrics import EmulatorStatistics, emulator_scores
from minkgen.evaluate.tables import (
    columns_of,
    emulator_rows,
    table_csv,
    table_json,
    table_text,
)

FUNCTIONALS = ("area", "perimeter", "components")


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    area = np.sort(rng.uniform(100.0, 5000.0, (9, 4)), axis=1)[:, ::-1]
    target = np.stack([area, np.sqrt(area) * 3.0, rng.poisson(5.0, area.shape)], axis=1)
    # Rounder than any disk: every target set violates the isoperimetric inequality.
    predicted = target * 1.5
    predicted[:, 1] *= 2.0
    statistics = EmulatorStatistics.of(predicted, target, FUNCTIONALS)
    return emulator_scores(statistics, np.full(4, 0.25))


def test_the_three_forms_hold_the_same_values(scores):
    rows, columns = emulator_rows("lip-cnn", scores), columns_of(FUNCTIONALS)
    listed = table_json(rows, columns)
    read = list(csv.DictReader(io.StringIO(table_csv(rows, columns))))
    text = table_text(rows, columns).splitlines()
    assert len(text) == 1 + len(columns)
    for column, line in zip(columns, text[1:], strict=True):
        assert line.startswith(column.title)
        cells = line.removeprefix(column.title).split()
        for row, cell, entry in zip(listed, cells, read, strict=True):
            if row[column.key] is None:
                assert (cell, entry[column.key]) == ("-", "")
            else:
                assert cell == column.show(row[column.key])
                assert float(entry[column.key]) == row[column.key]


def test_every_score_of_a_model_has_a_column_and_the_reverse(scores):
    model, targets = emulator_rows("lip-cnn", scores)
    keys = {column.key for column in columns_of(FUNCTIONALS)}
    assert set(model.scores) == keys
    assert set(targets.scores) == {
        "isoperimetric_sets",
        "isoperimetric_samples",
        "monotonicity_sets",
        "monotonicity_samples",
    }


def test_the_targets_show_their_own_violations(scores):
    model, targets = emulator_rows("lip-cnn", scores)
    assert targets.scores["isoperimetric_sets"] == 1.0
    assert model.scores["isoperimetric_sets"] == 0.0
    text = table_text([model, targets], columns_of(FUNCTIONALS))
    line = next(line for line in text.splitlines() if line.startswith("isoperimetric [% sets]"))
    assert line.split()[-2:] == ["0.00", "100.00"]


def test_headings_name_units(scores):
    text = table_text(emulator_rows("lip-cnn", scores), columns_of(FUNCTIONALS))
    assert "MAE area [km2]" in text
    assert "MAE perimeter [km]" in text
