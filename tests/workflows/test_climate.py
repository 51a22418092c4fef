"""Which training tiles lifetimes are taken from: the definition of the draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from minkgen.recipe import Recipe
from minkgen.tiles.table import sample_keys
from minkgen.workflows import climate as climate_module
from minkgen.workflows.plan import plan_from_composites
from minkgen.workflows.progress import Silent


@pytest.mark.parametrize("count", [7, 10_000])
def test_lifetimes_come_from_wet_tiles_with_the_smallest_keys(planned: Recipe, count: int) -> None:
    build = plan_from_composites(planned, None, Silent())
    training = build.plan.rows["train"]
    fractions = training["wet_fraction"].to_numpy().copy()
    fractions[::3] = 0.0
    column = training.schema.get_field_index("wet_fraction")
    training = training.set_column(column, "wet_fraction", pa.array(fractions))
    persistence = planned.persistence.model_copy(update={"sample_tiles": count})
    fit = climate_module.ClimateFit(
        recipe=planned.model_copy(update={"persistence": persistence}),
        training=training,
        tiles=build.making.tiles,
        normalisation={},
        decided_by={},
        path=Path("nowhere"),
    )
    tasks = climate_module._tasks(fit)
    drawn = np.concatenate([task.lifetimes for task in tasks])
    wet = np.flatnonzero(fractions > 0)
    keys = sample_keys(training, planned.seed)
    assert set(np.flatnonzero(drawn)) == set(wet[np.argsort(keys[wet])][:count])
    assert sum(task.samples.rows.num_rows for task in tasks) == training.num_rows == drawn.size
