"""Rebuild: what a scheduler runs again and again: fetch what is new, compute, publish, say so."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from minkgen.errors import MinkgenError, StoreError
from minkgen.recipe import Recipe
from minkgen.store.layout import StorePaths
from minkgen.store.snapshot import open_snapshot
from minkgen.workflows.compute import ComputeResult, compute
from minkgen.workflows.ingest import IngestResult, ingest
from minkgen.workflows.progress import Progress, Silent

__all__ = ["RebuildResult", "rebuild"]


@dataclass(frozen=True)
class RebuildResult:
    """What a rebuild did.

    Attributes
    ----------
    ingest : IngestResult
    compute : ComputeResult
    published : bool
        Whether `current` is another snapshot than before; not, where nothing was new.
    """

    ingest: IngestResult
    compute: ComputeResult
    published: bool


def rebuild(
    recipe: Recipe,
    log: Path | None = None,
    progress: Progress | None = None,
    *,
    wait_seconds: float = 0.0,
) -> RebuildResult:
    """Fetch new and formerly failed slots, compute what they change, and publish it.

    Where nothing is new, nothing is published. Whatever happens, one line of JSON is appended to
    the log.

    Parameters
    ----------
    recipe : Recipe
        With `climate_from`, thresholds, floors and normalisation stay those of that snapshot.
    log : Path, optional
        By default `rebuilds.jsonl` in the store. A line has ``status`` (`published`,
        `nothing new` or `failed`), ``started`` and ``seconds``, ``store``; and, if it came to
        that, ``states``, ``newly_ok``, ``newly_bad``, ``snapshot``, ``rows``, ``parts``,
        ``linked``, ``error``.
    progress : Progress, optional
    wait_seconds : float, optional
        How long to wait for another process that works on this store; not at all by default.

    Returns
    -------
    RebuildResult

    Raises
    ------
    MinkgenError
        As from `ingest` and `compute`.
    """
    progress = progress or Silent()
    store = recipe.store.absolute()
    begun = time.monotonic()
    line: dict[str, Any] = {
        "status": "failed",
        "started": f"{datetime.now(UTC):%FT%TZ}",
        "store": str(store),
    }
    with _appended(log or store / "rebuilds.jsonl", line):
        try:
            before = _current(store)
            fetched = ingest(recipe, progress, wait_seconds=wait_seconds)
            line |= {
                "states": fetched.states,
                "newly_ok": fetched.newly_ok,
                "newly_bad": len(fetched.newly_bad),
            }
            made = compute(recipe, progress, wait_seconds=wait_seconds)
            line |= {
                "snapshot": made.snapshot.stem,
                "rows": made.rows,
                "parts": made.parts,
                "linked": made.linked,
            }
            published = made.snapshot.name != before
            line["status"] = "published" if published else "nothing new"
        except MinkgenError as error:
            line["error"] = error.one_line()
            raise
        except BaseException as error:
            line["error"] = type(error).__name__
            raise
        finally:
            line["seconds"] = round(time.monotonic() - begun, 1)
    return RebuildResult(fetched, made, published)


def _current(store: Path) -> str | None:
    """Return the name of the snapshot that readers take now."""
    if not StorePaths(store).current.exists():
        return None
    return open_snapshot(store).path.name


@contextmanager
def _appended(log: Path, line: dict[str, Any]) -> Iterator[None]:
    """Append a line at the end; a log that cannot be written is an error before any work."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError as error:
        raise StoreError(
            "the log of rebuilds cannot be written", where=log, got=error, hint="give another --log"
        ) from error
    try:
        yield
    finally:
        # By one call, so that the lines of two rebuilds never mix.
        os.write(descriptor, f"{json.dumps(line, ensure_ascii=False)}\n".encode())
        os.close(descriptor)
