"""Write docs/metrics.md: what each score of super-resolution means, and what it sees.

    python docs/metrics.py

The table is of copies of synthetic rain, each spoiled in one way; no number is written by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from minkgen.evaluate.superres.bootstrap import bootstrap_by_day
from minkgen.evaluate.superres.scores import field_scores, scalar_scores
from minkgen.evaluate.superres.settings import ScoreSetting
from minkgen.evaluate.superres.statistics import (
    FieldStatistics,
    field_statistics,
    merge_statistics,
)
from minkgen.gamma.matrix import gamma_matrix
from minkgen.grid import TEST_2KM
from minkgen.opera.synthetic import rain_field

Float32Array = npt.NDArray[np.float32]

SEED, DAYS, REPLICATES = 0, 12, 500
SIZE, PIXEL_KM, DRIZZLE = 128, 2.0, 0.1
# What rounding leaves of a score that is 0.
NOTHING = 1e-6
FIRST_DAY = datetime(2024, 6, 1, 15, tzinfo=UTC)
THRESHOLDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
FUNCTIONALS = ("area", "perimeter", "components", "holes", "perimeter_closed")
# Path in `scalar_scores`, heading, which copy it is meant to see, and at which end of the row.
ROWS = (
    ("mae", "MAE, mm/h", "displaced", max),
    ("fss/1/5", "FSS, 1 mm/h, 5 pixels", "displaced", min),
    ("sal/location/mean", "SAL L", "displaced", max),
    ("sal/structure/mean", "SAL S", "blurred", max),
    ("rapsd/ratio", "RAPSD ratio", "blurred", max),
    ("rapsd/log_ratio", "RAPSD, mean abs. log ratio", "blurred", max),
    ("peak_ratio", "peak ratio", "blurred", min),
    ("return_level/1e-05/bias", "return-level bias, 1e-5", "blurred", min),
    ("loss/measure", "L_M", "blurred", max),
    ("loss/per_functional/components/bias", "L_M components, signed", "speckled", max),
    ("anisotropy/relative", "anisotropy", "striped", max),
    ("exceedance_ratio/1", "exceedance ratio, 1 mm/h", "wetter", max),
    ("mass_bias", "mass bias", "wetter", max),
    ("sal/amplitude/mean", "SAL A", "wetter", max),
)
# Key in `field_scores`, unit, definition, and how its sign reads.
SCORES = (
    (
        "`loss` (L_M)",
        "1",
        (
            "mean over samples of Σ over area, perimeter and components of Σ over u of w(u) "
            "abs(log1p γ(prediction) - log1p γ(truth)), both γ exact; `counting`: w = 1, "
            "`measure`: the integration weights of the thresholds; in `per_functional` each "
            "functional, and `bias`, the same without abs, by `measure`"
        ),
        "0 is best; bias above 0: too much",
    ),
    (
        "`gamma`",
        "km2, km, 1",
        "mean curves of γ; `log_residual`: mean of log1p γ(prediction) - log1p γ(truth)",
        "above 0: too much",
    ),
    (
        "`isoperimetric`",
        "share",
        "P² < 4 π A: of non-empty sets, of samples with any; of truth and prediction",
        "that of the truth is best",
    ),
    ("`mae`, `rmse`", "mm/h", "over all pixels", "0 is best; favours what is too smooth"),
    ("`mass_bias`", "1", "mean predicted / observed", "above 1: too wet"),
    ("`exceedance_ratio`", "1", "pixels >= u, predicted / observed", "above 1: too often"),
    (
        "`sal` `structure`",
        "1",
        "of volumes scaled by their maximum, -2 to 2",
        "above 0: objects too large or too flat",
    ),
    ("`sal` `amplitude`", "1", "of tile means, -2 to 2, tile by tile", "above 0: too wet"),
    (
        "`sal` `location`",
        "1",
        "of the centres of mass, and of the scatter of objects about them, 0 to 2",
        "0 is best",
    ),
    (
        "`rapsd`",
        "1",
        (
            "of spectra averaged over the split, 2-D Hann window; `ratio`: mean over rings of 4 to "
            "200 km of P_truth / P_predicted; `log_ratio`: mean of abs(log), which errors of both "
            "signs cannot cancel; the spectra in `spectrum`"
        ),
        "ratio above 1: too smooth, below 1: too rough",
    ),
    (
        "`anisotropy`",
        "1",
        (
            "mean power of modes of less than 16 km (not less than 2 pixels) within 15° of the "
            "axes, over that within 15° of the diagonals; `relative`: predicted / truth"
        ),
        "above 1: drawn along rows and columns",
    ),
    (
        "`fss`",
        "1",
        (
            "1 - Σ (p - o)² / (Σ p² + Σ o²), p and o the shares of pixels >= u in windows that lie "
            "wholly in the tile, sums over the split"
        ),
        "1 is best",
    ),
    (
        "`peak_ratio`",
        "1",
        "median over samples with rain of predicted / observed maximum",
        "above 1: too high",
    ),
    (
        "`return_level`",
        "mm/h",
        (
            "rate that 1e-5 and 1e-6 of all pixels exceed (inverted CDF); `bias`: predicted / "
            "truth - 1"
        ),
        "bias above 0: too high",
    ),
    (
        "`ensemble` `crps`",
        "mm/h",
        (
            "fair estimate, so that it does not depend on the number of members; for a single "
            "field it would be the MAE"
        ),
        "0 is best",
    ),
    (
        "`ensemble` `spread_skill`",
        "1",
        "root of the mean variance, times the root of (M + 1) / M, over the RMSE of the mean",
        "below 1: too sure",
    ),
    (
        "`ensemble` `reliability`",
        "1",
        "how often the truth was >= u where so many of the members were",
        "below the diagonal: foretold too often",
    ),
)
TEXT = """# Scores of super-resolution

Written by `python docs/metrics.py`. The code is `minkgen.evaluate.superres`, one module a family:
`field_statistics` makes statistics of a chunk of tiles, which are merged in any grouping,
`field_scores` makes scores of merged statistics, and `bootstrap_by_day` their standard errors and
95 % intervals from days drawn with replacement (statistics are kept by day for it).

A prediction is treated as a tile is: what is below the drizzle threshold is zeroed before anything
is counted. A generative model is judged by its first member, except in the scores of the ensemble.
A score that is undefined (an empty denominator, a spectrum without power) is None, never 0.

## What they mean

{meanings}

- **Dry pairs** in SAL: dry on both sides, no score; dry on one side, A = 2 (the truth is dry) or -2
  (the prediction is), and neither S nor L. All are counted in `sal` `dry`. Objects are 8-connected,
  at or above 1/15 of the 95th percentile of wet pixels, of any size; distances are in units of the
  tile's diagonal.
- **Return levels** need no choice of a sample: all pixels stand in an exact histogram in steps of
  0.01 mm/h. They are None where less than one pixel is expected above.
- **Peak ratios and SAL** are kept for every sample (32 bytes), because a median cannot be made of
  sums, and so that SAL can be drawn.

## What they see

{tiles} tiles with rain (128 x 128 pixels of 2 km) of {days} days of synthetic rain (seed {seed}),
each spoiled in one way: **displaced** by 16 km east and 12 km south; **blurred** by a Gaussian of
4 km; **speckled** with independent log-normal noise of mean 1 in every pixel; **striped** along the
grid, every fourth column 1.9 times as wet and the others 0.7 times; **wetter**, all rates 1.25
times as high. In bold the copy that a score is meant to see: it stands at the end of its row. In
brackets the standard error, from {replicates} draws of days.

{table}

No column is worst in all rows, and a headline score alone misleads: MAE puts the striped and the
speckled copy before the one that is merely displaced, although no rain looks like them. The
anisotropy tells the first, the signed error of components the second. The blurred copy has the
least MAE but for the wetter one, and the worst L_M, spectrum and peaks.
"""


def synthetic_days(count: int) -> list[Float32Array]:
    """Return the tiles with rain of so many days, drizzle zeroed."""
    days = []
    for number in range(count):
        frame = rain_field(TEST_2KM, FIRST_DAY + timedelta(days=number), seed=SEED)
        rain = np.nan_to_num(frame, nan=0.0)
        rain[rain < np.float32(DRIZZLE)] = 0.0
        rows, columns = (length // SIZE for length in rain.shape)
        tiles = rain.reshape(rows, SIZE, columns, SIZE).swapaxes(1, 2).reshape(-1, SIZE, SIZE)
        days.append(tiles[tiles.any(axis=(1, 2))])
    return days


def spoiled(truth: Float32Array) -> dict[str, Float32Array]:
    """Return copies of tiles (B, H, W), each spoiled in one way, by name."""
    random = np.random.default_rng(SEED)
    # Mean 1, so that the mass stays.
    speckles = random.lognormal(-0.5 * 0.6**2, 0.6, truth.shape)
    stripes = np.where(np.arange(truth.shape[2]) % 4 == 0, 1.9, 0.7)
    copies = {
        "truth": truth,
        "displaced": np.roll(truth, (6, 8), axis=(1, 2)),
        "blurred": gaussian_filter(truth, (0.0, 2.0, 2.0), mode="constant"),
        "speckled": truth * speckles,
        "striped": truth * stripes,
        "wetter": 1.25 * truth,
    }
    return {name: np.asarray(copy, np.float32) for name, copy in copies.items()}


def setting() -> ScoreSetting:
    """Return how the copies are scored: γ integrated in log u."""
    logs = np.log(THRESHOLDS)
    edges = np.concatenate([logs[:1], (logs[1:] + logs[:-1]) / 2.0, logs[-1:]])
    return ScoreSetting(PIXEL_KM, THRESHOLDS, tuple(np.diff(edges).tolist()), FUNCTIONALS)


def statistics_of(truth: Float32Array, copy: Float32Array) -> FieldStatistics:
    """Return the statistics of a copy, with exact γ of it and of the truth."""
    gammas = [
        gamma_matrix(
            np.where(each < np.float32(DRIZZLE), np.float32(0.0), each),
            THRESHOLDS,
            pixel_km=PIXEL_KM,
            functionals=FUNCTIONALS,
        )
        for each in (truth, copy)
    ]
    return field_statistics(setting(), truth, copy[None], *gammas)


def statistics_by_copy(days: list[Float32Array]) -> dict[str, dict[str, FieldStatistics]]:
    """Return the statistics of every copy by day."""
    by_copy: dict[str, dict[str, FieldStatistics]] = {}
    for number, truth in enumerate(days):
        for name, copy in spoiled(truth).items():
            by_copy.setdefault(name, {})[f"{number:02d}"] = statistics_of(truth, copy)
    return by_copy


def scores_of(by_day: dict[str, FieldStatistics]) -> dict[str, Any]:
    """Return the scalar scores of all days."""
    return scalar_scores(field_scores(setting(), merge_statistics(by_day.values())))


def seen_table(by_copy: dict[str, dict[str, FieldStatistics]], replicates: int) -> str:
    """Return scores by row and copies by column, as Markdown."""
    scores = {name: scores_of(by_day) for name, by_day in by_copy.items()}
    errors = {
        name: bootstrap_by_day(setting(), by_day, replicates, SEED)
        for name, by_day in by_copy.items()
    }
    return markdown(
        ("score", *scores),
        (
            (
                heading,
                *(
                    cell(
                        scores[name][path], errors[name][path]["standard_error"], bold=name == seen
                    )
                    for name in scores
                ),
            )
            for path, heading, seen, _ in ROWS
        ),
    )


def cell(value: float, error: float, *, bold: bool) -> str:
    """Return three digits, and one of the standard error where there is any."""
    text = f"{value:.3g}" if abs(value) > NOTHING else "0"
    text = f"**{text}**" if bold else text
    return f"{text} ({float(f'{error:.1g}'):g})" if error > NOTHING else text


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def main() -> None:
    """Write docs/metrics.md."""
    days = synthetic_days(DAYS)
    text = TEXT.format(
        meanings=markdown(("score", "unit", "definition", "sign"), SCORES),
        days=len(days),
        tiles=sum(map(len, days)),
        seed=SEED,
        replicates=REPLICATES,
        table=seen_table(statistics_by_copy(days), REPLICATES),
    )
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
