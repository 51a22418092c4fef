"""The table of all checks. A new check is a function of a view, and a row here.

MUST: whoever uses the store would be misled; SHOULD: it works, but somebody ought to look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from minkgen.store.verify import (
    composites,
    folders,
    hierarchies,
    ledgers,
    samples,
    snapshots,
    terrain,
    values,
)
from minkgen.store.verify.findings import Finding
from minkgen.store.verify.view import StoreView
from minkgen.workflows.verify import climate, provenance, recomputed

__all__ = ["CHECKS", "Check", "Level", "Part"]

Level = Literal["MUST", "SHOULD"]
Part = Literal["store", "composites", "terrain", "snapshot"]


class Check(NamedTuple):
    """A law or a definition.

    Attributes
    ----------
    name : str
        Family and name.
    level : {"MUST", "SHOULD"}
    part : {"store", "composites", "terrain", "snapshot"}
        What the store must have for the check to apply.
    says : str
        The law, as one sentence.
    look : callable
        Looks at a store.
    """

    name: str
    level: Level
    part: Part
    says: str
    look: Callable[[StoreView], Finding]


CHECKS: tuple[Check, ...] = (
    Check(
        "store.identity",
        "MUST",
        "store",
        "Every root tells a layout version and a grid that are known.",
        hierarchies.identity,
    ),
    Check(
        "store.consolidated",
        "MUST",
        "store",
        "The metadata gathered at every root are those of its arrays.",
        hierarchies.consolidated,
    ),
    Check(
        "store.staging",
        "SHOULD",
        "store",
        "Nothing that interrupted runs left behind is older than a day.",
        folders.staging,
    ),
    Check(
        "composites.time-axis",
        "MUST",
        "composites",
        "The time axis holds every slot of whole calendar years, in UTC.",
        composites.time_axis,
    ),
    Check(
        "composites.conventions",
        "MUST",
        "composites",
        "Units, dimensions, chunks, coordinates and grid mapping are right.",
        composites.conventions,
    ),
    Check(
        "composites.ledger",
        "MUST",
        "composites",
        "Every slot of a ledger is on the axis, in a known state, and says why if it is not ok.",
        ledgers.states,
    ),
    Check(
        "composites.frame-table",
        "MUST",
        "composites",
        "The frame table has exactly the ok slots, with the ledger's digests.",
        ledgers.frame_tables,
    ),
    Check(
        "composites.ok-slots",
        "MUST",
        "composites",
        "Every ok slot with coverage holds a frame.",
        composites.ok_slots,
    ),
    Check(
        "composites.frames",
        "MUST",
        "composites",
        "Coverage, wet fraction and largest rate of frames are those of the frame table.",
        composites.frames,
    ),
    Check(
        "composites.quality",
        "SHOULD",
        "composites",
        "Of the frames of an era and product, all have quality, or none.",
        composites.quality,
    ),
    Check(
        "composites.not-ok-slots",
        "MUST",
        "composites",
        "A failure never becomes a number: slots that are not ok read NaN.",
        composites.not_ok_slots,
    ),
    Check(
        "composites.unrecorded-slots",
        "SHOULD",
        "composites",
        "Slots without a state read NaN, too.",
        composites.unrecorded_slots,
    ),
    Check(
        "composites.raw-files",
        "MUST",
        "composites",
        "Source files that are kept have the digests of the ledger.",
        composites.raw_files,
    ),
    Check(
        "terrain.grid",
        "MUST",
        "terrain",
        "The terrain lies on the exact grid of the composites, north first.",
        terrain.on_grid,
    ),
    Check(
        "terrain.heights",
        "MUST",
        "terrain",
        "The terrain has a height above the sea's wherever there is land.",
        terrain.heights,
    ),
    Check(
        "terrain.orientation",
        "SHOULD",
        "terrain",
        "Known mountains and seas are where they are on the map.",
        terrain.orientation,
    ),
    Check(
        "snapshot.current",
        "MUST",
        "snapshot",
        "`current` is a link to a snapshot beside it.",
        snapshots.current,
    ),
    Check(
        "snapshot.current-json",
        "MUST",
        "snapshot",
        "current.json names the snapshot that `current` points at.",
        snapshots.current_json,
    ),
    Check(
        "snapshot.layout",
        "MUST",
        "snapshot",
        "All splits have all arrays, in the recorded shapes, chunks and order of functionals.",
        snapshots.layout,
    ),
    Check(
        "snapshot.hash",
        "MUST",
        "snapshot",
        "The snapshot is named by the hash of what decided its numbers.",
        snapshots.hashed,
    ),
    Check(
        "snapshot.complete",
        "MUST",
        "snapshot",
        "Every shard and every chunk that holds samples is written, and none besides.",
        snapshots.complete,
    ),
    Check(
        "snapshot.published",
        "MUST",
        "snapshot",
        "No published snapshot holds a temporary or an empty file.",
        folders.published,
    ),
    Check(
        "snapshot.files",
        "MUST",
        "snapshot",
        "Every file has the size and the SHA-256 that it was published with.",
        folders.files,
    ),
    Check(
        "snapshot.read-only",
        "SHOULD",
        "snapshot",
        "Nobody can write the files of a published snapshot.",
        folders.read_only,
    ),
    Check(
        "snapshot.attributes",
        "MUST",
        "snapshot",
        "Units, dimensions, coordinates, conventions and grid mapping are right.",
        snapshots.attributes,
    ),
    Check(
        "snapshot.attribution",
        "MUST",
        "snapshot",
        "Source and licence are named, and made-up data are called so.",
        provenance.attribution,
    ),
    Check(
        "inputs.frames-ok",
        "MUST",
        "snapshot",
        "Every sample comes from a composite that is ok, of the product it says.",
        provenance.frames_ok,
    ),
    Check(
        "inputs.digest",
        "MUST",
        "snapshot",
        "The composites have the digests that the snapshot was computed from.",
        provenance.inputs_digest,
    ),
    Check(
        "samples.order",
        "MUST",
        "snapshot",
        "Samples are sorted by time, row and column, and none occurs twice.",
        samples.order,
    ),
    Check(
        "samples.rows",
        "MUST",
        "snapshot",
        "The samples of every split are those that were planned.",
        samples.rows,
    ),
    Check(
        "samples.positions",
        "MUST",
        "snapshot",
        "Samples are tiles of the recipe, and their metres are those of the grid.",
        samples.positions,
    ),
    Check(
        "samples.dry-share",
        "SHOULD",
        "snapshot",
        "As many all-dry samples are kept as the recipe asks for.",
        samples.dry_share,
    ),
    Check(
        "splits.gap",
        "MUST",
        "snapshot",
        "No two splits share a time, or come nearer to each other than the gap.",
        samples.gap,
    ),
    Check(
        "tiles.filled",
        "MUST",
        "snapshot",
        "Pixels are missing only where there is no coverage, and that is recorded.",
        values.filled,
    ),
    Check(
        "tiles.drizzle",
        "MUST",
        "snapshot",
        "Rates below the drizzle threshold are 0, and none is negative or infinite.",
        values.drizzle,
    ),
    Check(
        "tiles.facts",
        "MUST",
        "snapshot",
        "Wet flag, wet fraction and largest rate are those of the tile.",
        values.facts,
    ),
    Check(
        "tiles.cut-anew",
        "MUST",
        "snapshot",
        "Tiles equal the composites cut anew, with drizzle zeroed.",
        recomputed.tiles_cut_anew,
    ),
    Check(
        "thresholds.grid",
        "MUST",
        "snapshot",
        "Thresholds are strictly increasing float32 numbers, the same wherever they stand.",
        climate.grid,
    ),
    Check(
        "climate.kept",
        "MUST",
        "snapshot",
        "The climate behind the snapshot is kept, under the digest of what decided it.",
        climate.kept,
    ),
    Check(
        "climate.thresholds",
        "MUST",
        "snapshot",
        "The thresholds follow from the kept histogram of wet values.",
        climate.thresholds,
    ),
    Check(
        "climate.floors",
        "MUST",
        "snapshot",
        "The persistence floors follow from the kept histograms of lifetimes.",
        climate.floors,
    ),
    Check(
        "climate.normalisation",
        "MUST",
        "snapshot",
        "Networks are normalised by the largest rate of the unflagged training samples.",
        climate.normalisation,
    ),
    Check(
        "climate.histograms",
        "MUST",
        "snapshot",
        "The kept histograms are those of the training tiles.",
        climate.histograms,
    ),
    Check(
        "gamma.finite",
        "MUST",
        "snapshot",
        "Every number of every γ-matrix is finite.",
        values.gamma_finite,
    ),
    Check(
        "gamma.area",
        "MUST",
        "snapshot",
        "The area does not grow with the threshold.",
        values.area,
    ),
    Check(
        "gamma.dry",
        "MUST",
        "snapshot",
        "Dry samples have γ = 0.",
        values.dry,
    ),
    Check(
        "gamma.oracle",
        "MUST",
        "snapshot",
        "γ is that of GUDHI and scikit-image: counts and areas exactly, lengths to 2e-6.",
        recomputed.oracle,
    ),
    Check(
        "mixup.tiles",
        "MUST",
        "snapshot",
        "Mixed tiles follow from seed and tile, bit for bit.",
        recomputed.mixed_tiles,
    ),
    Check(
        "mixup.oracle",
        "MUST",
        "snapshot",
        "γ of mixed tiles is that of GUDHI and scikit-image.",
        recomputed.mixed_gamma,
    ),
)
