"""The section of pictures: an extreme, a median and a fragmented sample of every split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minkgen.evaluate.figures.quick_look import TileLook, outlined_places, sample_look
from minkgen.evaluate.figures.style import as_png, with_few_colours
from minkgen.evaluate.report.blocks import Picture, Pictures, Section, Text
from minkgen.store.snapshot import Snapshot
from minkgen.workflows.report.contents import Contents, GammaSubset, SplitSamples, utc

__all__ = ["gallery_section"]

# So wide, a picture has 20 to 50 kB.
WIDTH_PIXELS = 720
# One component on a single wet pixel is not what a reader calls fragmented.
LEAST_WET_FRACTION = 0.1

_MEANINGS = {
    "extreme": "the largest rain rate of the split",
    "median": "the wet sample in the middle by its wet fraction",
    "fragmented": "the most components per wet area, at least 10 % wet where there is such a "
    "sample, among those that the γ curves are of",
}


def gallery_section(contents: Contents) -> Section | None:
    """Return pictures of chosen samples with their γ."""
    if contents.snapshot is None:
        return None
    pictures = [
        _picture(contents.snapshot, split, kind, row, contents.samples[split])
        for split, subset in contents.gamma.items()
        for kind, row in _chosen(contents.samples[split], subset, contents)
    ]
    if not pictures:
        return None
    meanings = "; ".join(f"{kind}: {meaning}" for kind, meaning in _MEANINGS.items())
    text = Text(f"{meanings[0].upper()}{meanings[1:]}.")
    return Section("gallery", "Samples", (text, Pictures("Samples and their γ", tuple(pictures))))


def _chosen(
    samples: SplitSamples, subset: GammaSubset, contents: Contents
) -> Iterator[tuple[str, int]]:
    wet = samples.wet
    if not len(wet):
        return
    yield "extreme", int(wet[np.argmax(samples.max_rate[wet])])
    in_order = wet[np.argsort(samples.wet_fraction[wet], kind="stable")]
    yield "median", int(in_order[(len(in_order) - 1) // 2])
    wet_fraction = samples.wet_fraction[subset.rows]
    for least in (LEAST_WET_FRACTION, np.nextafter(0.0, 1.0)):
        enough = np.flatnonzero(wet_fraction >= least)
        if len(enough):
            place = list(contents.metadata["functionals"]).index("components")
            components = subset.gamma[enough, place].max(axis=1)
            yield (
                "fragmented",
                int(subset.rows[enough[np.argmax(components / wet_fraction[enough])]]),
            )
            return


def _picture(snapshot: Snapshot, split: str, kind: str, row: int, samples: SplitSamples) -> Picture:
    tile = TileLook(
        row=int(samples.row[row]),
        column=int(samples.column[row]),
        rain_rate=_values(snapshot, split, "rain_rate", row),
        thresholds=snapshot.thresholds,
        outlined=outlined_places(len(snapshot.thresholds)),
        functionals=snapshot.metadata["functionals"],
        gamma=_values(snapshot, split, "gamma", row),
    )
    attribution = str(snapshot.metadata["attribution"])
    figure = sample_look(tile, pixel_km=snapshot.pixel_km, attribution=attribution)
    about = (
        f"{kind.capitalize()}, {split}: {utc(samples.time[row]):%Y-%m-%d %H:%M} UTC, row "
        f"{tile.row}, column {tile.column}; at most {samples.max_rate[row]:.2f} mm/h, "
        f"{100 * samples.wet_fraction[row]:.1f} % wet"
    )
    return Picture(
        with_few_colours(as_png(figure), WIDTH_PIXELS),
        about,
        f"Map of rain rate with outlines of three excursion sets, and curves of area, perimeter, "
        f"components and holes over thresholds. {about}",
        split,
    )


def _values(snapshot: Snapshot, split: str, name: str, row: int) -> np.ndarray:
    ((_, places, values),) = snapshot.sharded_rows(split, name).chunks(np.array([row]))
    return np.asarray(values[places[0]].copy())
