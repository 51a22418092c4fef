"""Gather the report of a store, section by section; what is not there is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from minkgen.evaluate.report.blocks import Report, Section
from minkgen.workflows.progress import Progress, Silent
from minkgen.workflows.report.climate import persistence_section, thresholds_section
from minkgen.workflows.report.contents import Contents, open_contents
from minkgen.workflows.report.curves import gamma_section
from minkgen.workflows.report.gallery import gallery_section
from minkgen.workflows.report.ledger import flags_section, ledger_section
from minkgen.workflows.report.places import places_section
from minkgen.workflows.report.provenance import provenance_section
from minkgen.workflows.report.runs import evaluations_section, trainings_section
from minkgen.workflows.report.splits import splits_section

__all__ = ["gather_report"]

# In the order of the page.
_SECTIONS: tuple[Callable[[Contents], Section | None], ...] = (
    ledger_section,
    splits_section,
    places_section,
    thresholds_section,
    persistence_section,
    gamma_section,
    gallery_section,
    flags_section,
    evaluations_section,
    trainings_section,
    provenance_section,
)


def gather_report(store: Path, progress: Progress | None = None) -> Report:
    """Gather what is to be seen of a store; the store is only read, and may be written to.

    Memory does not grow with γ and fields: columns of one number a sample are read as a whole,
    of γ at most 256 chunks a split, of composites at most eight.

    Parameters
    ----------
    store : Path
        The folder of a store: with composites, with a snapshot, or with both.
    progress : Progress, optional

    Returns
    -------
    Report
        Without the sections whose data are not there.

    Raises
    ------
    StoreError
        If there is no store in this folder, or what there is is damaged.
    """
    progress = progress or Silent()
    contents = open_contents(Path(store), progress)
    progress.stage("gather", len(_SECTIONS))
    sections = []
    for gather in _SECTIONS:
        section = gather(contents)
        if section is not None:
            sections.append(section)
        progress.advance(1, "" if section is None else section.title)
    return Report(
        title=_title(contents),
        summary=tuple(_summary(contents)),
        sections=tuple(sections),
        attribution=contents.attribution,
    )


def _title(contents: Contents) -> str:
    store = contents.paths.root.resolve().name
    return store if contents.snapshot is None else f"{store}: {contents.snapshot.name}"


def _summary(contents: Contents) -> Iterator[tuple[str, str]]:
    yield "store", contents.paths.root.resolve().name
    for ledger in contents.ledgers:
        asked = ledger.asked()
        if asked is not None:
            counts = ledger.states()
            period = f"{asked[0]:%Y-%m-%d %H:%M} to {asked[1]:%Y-%m-%d %H:%M} UTC"
            there = f"{counts['ok']:,} of {sum(counts.values()):,} slots"
            yield f"{ledger.product} composites", f"{there}, {period}, on {ledger.grid}"
    if contents.snapshot is None:
        yield "snapshot", "none is published"
        return
    metadata = contents.metadata
    yield "snapshot", contents.snapshot.name
    counts = {split: samples.count for split, samples in contents.samples.items()}
    yield "samples", ", ".join(f"{count:,} {split}" for split, count in counts.items()) or "none"
    yield "composites used", f"{metadata['inputs']['composites']:,}"
    size, pixel_km = metadata["tile_size"], metadata["pixel_km"]
    yield "tiles", f"{size} x {size} pixels of {pixel_km:g} km"
    rates = metadata["thresholds"]["values"]
    kind = metadata["thresholds"]["kind"]
    yield "thresholds", f"{len(rates)} ({kind}), {rates[0]:.2f} to {rates[-1]:.2f} mm/h"
    floors = (f"{each['epsilon']:g} mm/h for {name}" for name, each in metadata["floors"].items())
    yield "persistence floors", ", ".join(floors)
