"""Checks of where samples come from: composites that are ok, by their digests, attributed."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import zarr

from minkgen.recipe import digest
from minkgen.store.layout import attribution_of
from minkgen.store.snapshot import SPLITS
from minkgen.store.verify.findings import Faults, Finding, not_applicable
from minkgen.store.verify.view import StoreView, at
from minkgen.workflows.rain import Frame, RainSource, rain_frames
from minkgen.workflows.scan import choose_frames

__all__ = ["attribution", "frames_ok", "inputs_digest"]

_NO_COMPOSITES = "the store has no composites"
_INGEST = "restore the ledgers and frame tables from a copy, or ingest and compute anew"


def _frames(view: StoreView) -> dict[datetime, Frame]:
    """Return the ok composites from the first to the last window."""
    return view.once("ok frames", lambda: rain_frames(RainSource.of(view.recipe), view.recipe))


def _chosen(view: StoreView) -> dict[datetime, Frame]:
    """Return the ok composites of the three windows that the recipe takes."""
    windows = view.recipe.splits.trimmed().values()
    chosen, _ = choose_frames(_frames(view), view.recipe)
    return {time: each for time, each in chosen.items() if any(time in w for w in windows)}


def frames_ok(view: StoreView) -> Finding:
    """Look every sample's frame up in the ledger, and its product in the frame table."""
    if not view.has_composites:
        return not_applicable(_NO_COMPOSITES)
    faults, count, frames = Faults(), 0, _frames(view)
    for split in SPLITS:
        times, products = view.column(split, "time"), view.column(split, "product")
        count += len(times)
        for index, (minute, product) in enumerate(zip(times.tolist(), products, strict=True)):
            frame = frames.get(at(minute))
            if frame is None:
                faults.add(view.sample(split, "time", index), "a frame that is not ok", "ok")
            elif frame.product != product:
                faults.add(view.sample(split, "product", index), product, frame.product)
    return faults.finding(count, "samples", _INGEST)


def inputs_digest(view: StoreView) -> Finding:
    """Hash the digests of the composites again."""
    if not view.has_composites:
        return not_applicable(_NO_COMPOSITES)
    faults, recorded = Faults(), view.snapshot.metadata["inputs"]
    used = {f"{time:%FT%R}": frame.sha256 for time, frame in _chosen(view).items()}
    if len(used) > recorded["composites"]:
        more = len(used) - recorded["composites"]
        return not_applicable(f"{more} composites came in since: `minkgen compute` takes them up")
    faults.equal("composites", got=len(used), expected=recorded["composites"])
    faults.equal("digest of inputs", got=digest(used), expected=recorded["digest"])
    return faults.finding(len(used), "composites", _INGEST)


def attribution(view: StoreView) -> Finding:
    """Compare the attribution with the sources of the samples' frames."""
    faults, root = Faults(), zarr.open_group(view.snapshot.path, mode="r")
    recorded = view.snapshot.metadata["attribution"]
    faults.equal("attribution of the root", got=root.attrs.get("attribution"), expected=recorded)
    count = 1
    if view.has_composites:
        frames = _frames(view)
        minutes = np.unique(np.concatenate([view.column(split, "time") for split in SPLITS]))
        known = [frames[time] for time in map(at, minutes.tolist()) if time in frames]
        count += len(known)
        # The frames of the whole period are attributed, those of dry or uncovered days as well.
        of_samples = {frame.source for frame in known}
        of_all = of_samples | {frame.source for frame in frames.values()}
        right = {attribution_of(of_samples), attribution_of(of_all)}
        faults.require(recorded in right, "attribution", recorded, " or ".join(sorted(right)))
    return faults.finding(count, "attribution and sources", "compute the snapshot anew")
