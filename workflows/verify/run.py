"""Verify a store: run the checks one after the other; whatever they trip over is a finding."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minkgen.errors import InputError, MinkgenError, StoreError
from minkgen.store.snapshot import open_snapshot
from minkgen.store.verify.findings import CounterExample, Finding, not_applicable
from minkgen.store.verify.view import StoreView
from minkgen.workflows.progress import Progress, Silent
from minkgen.workflows.verify.table import CHECKS, Check, Level

__all__ = ["Verdict", "VerifyReport", "choose_checks", "verify_store"]


@dataclass(frozen=True)
class Verdict:
    """A check and what it found."""

    check: Check
    finding: Finding


@dataclass(frozen=True)
class VerifyReport:
    """What all checks found.

    Attributes
    ----------
    store : Path
    snapshot : str or None
        Name of the snapshot that was looked at; None where there is none to be opened.
    verdicts : tuple of Verdict
        In the order of the table.
    """

    store: Path
    snapshot: str | None
    verdicts: tuple[Verdict, ...]

    def failed(self, level: Level) -> tuple[Verdict, ...]:
        """Return the verdicts of a level that failed."""
        return tuple(
            verdict
            for verdict in self.verdicts
            if verdict.check.level == level and verdict.finding.outcome == "failed"
        )


def choose_checks(only: Sequence[str]) -> tuple[Check, ...]:
    """Return the checks of some names or families, all of them for none, in the table's order.

    Parameters
    ----------
    only : sequence of str
        `gamma.oracle`, or `gamma` for all of the family.

    Raises
    ------
    InputError
        If a name is no check's and no family's.

    Examples
    --------
    >>> [check.name for check in choose_checks(["mixup"])]
    ['mixup.tiles', 'mixup.oracle']
    """
    names = {check.name for check in CHECKS}
    families = {name.partition(".")[0] for name in names}
    for name in only:
        if name not in names | families:
            raise InputError(
                "there is no such check",
                where="only",
                got=name,
                expected=", ".join(check.name for check in CHECKS),
            )
    chosen = set(only)
    return tuple(
        check
        for check in CHECKS
        if not chosen or check.name in chosen or check.name.partition(".")[0] in chosen
    )


def verify_store(
    store: str | Path,
    progress: Progress | None = None,
    *,
    snapshot: str = "current",
    samples: int = 20,
    seed: int = 0,
    deep: bool = False,
    only: Sequence[str] = (),
) -> VerifyReport:
    """Hold a store against its laws and definitions; it is only read.

    Parameters
    ----------
    store : str or Path
    progress : Progress, optional
    snapshot : str, optional
        `current`, or the name of a snapshot.
    samples : int, optional
        How many frames, and samples of each split, are drawn for what is too slow for all of them.
    seed : int, optional
        Of the draws.
    deep : bool, optional
        Count the climatology of all training tiles anew.
    only : sequence of str, optional
        Names or families of checks; all by default.

    Returns
    -------
    VerifyReport
        What is damaged or missing is in the report, and raises nothing.

    Raises
    ------
    StoreError
        If there is no store, or no snapshot of the name that is asked for.
    InputError
        If a check is unknown.
    """
    progress, chosen = progress or Silent(), choose_checks(only)
    view = StoreView(Path(store), snapshot, samples, seed, deep=deep)
    if not (view.has_composites or view.has_snapshot or view.has_terrain):
        raise StoreError(
            "there is no store here",
            where=view.paths.root,
            hint="run `minkgen ingest` with the recipe first",
        )
    if snapshot != "current" and f"{snapshot.removesuffix('.zarr')}.zarr" not in {
        path.name for path in view.published()
    }:
        open_snapshot(view.paths.root, snapshot)  # says which there are
    progress.stage("verify", len(chosen))
    verdicts = []
    for check in chosen:
        verdicts.append(Verdict(check, _look(check, view)))
        progress.advance(1, check.name)
    return VerifyReport(view.paths.root, _name_of_snapshot(view), tuple(verdicts))


def _look(check: Check, view: StoreView) -> Finding:
    """Run a check; that it cannot be run to its end is a failure, and the others go on."""
    has = {
        "store": True,
        "composites": view.has_composites,
        "terrain": view.has_terrain,
        "snapshot": view.has_snapshot,
    }
    if not has[check.part]:
        return not_applicable(f"the store has no {check.part}")
    try:
        return check.look(view)
    except MinkgenError as error:
        example = CounterExample(
            str(error.where or view.paths.root),
            error.what if error.got is None else f"{error.what}: {error.got}",
            str(error.expected or "what the check could read"),
        )
        step = error.hint or "restore the file from a copy, or make it anew"
        return Finding("failed", "as far as the damage", (example,), 1, step)
    except Exception as error:  # noqa: BLE001 - the task boundary: damage raises whatever it likes
        last = traceback.extract_tb(error.__traceback__)[-1]
        example = CounterExample(
            f"{view.paths.root} ({Path(last.filename).name}:{last.lineno})",
            f"{type(error).__name__}: {error}",
            "what the check could read",
        )
        step = "restore the damaged file from a copy, or make it anew"
        return Finding("failed", "as far as the damage", (example,), 1, step)


def _name_of_snapshot(view: StoreView) -> str | None:
    """Return the name of the snapshot that was looked at."""
    try:
        return view.snapshot.name if view.has_snapshot else None
    except Exception:  # noqa: BLE001 - the checks have said what is wrong with it
        return None
