"""A report as a file: gathered, rendered, and put in its place in one step."""

from __future__ import annotations

from pathlib import Path

from minkgen.errors import InputError
from minkgen.evaluate.report.blocks import Report
from minkgen.evaluate.report.page import render
from minkgen.store.files import write_bytes
from minkgen.workflows.progress import Progress
from minkgen.workflows.report.gather import gather_report

__all__ = ["write_report"]


def write_report(store: Path, page: Path, progress: Progress | None = None) -> Report:
    """Write the report of a store as one HTML page; the store is only read.

    Parameters
    ----------
    store : Path
        The folder of a store.
    page : Path
        Where the page goes; it is replaced.
    progress : Progress, optional

    Returns
    -------
    Report
        What the page shows.

    Raises
    ------
    StoreError
        If there is no store in this folder, or what there is is damaged.
    InputError
        If the page cannot be written there.
    """
    report = gather_report(store, progress)
    content = render(report).encode()
    try:
        write_bytes(page, content)
    except OSError as error:
        raise InputError(
            "the page cannot be written", where=page, got=error, hint="give another place with -o"
        ) from error
    return report
