"""From the recipe's section to a source of composites, and how many of its files come at a time."""

from __future__ import annotations

from minkgen.opera.fetching.api import ApiSource
from minkgen.opera.fetching.archive import ArchiveSource
from minkgen.opera.fetching.folder import FolderSource
from minkgen.opera.fetching.http import TransferPolicy
from minkgen.opera.fetching.sources import Source
from minkgen.recipe import fetching

__all__ = ["source_of"]


def source_of(section: fetching.OperaSource, wishes: fetching.Download, workers: int) -> Source:
    """Return the source that a recipe names, for one of several workers.

    Connections and requests are bounded over all workers, so that each has its share.

    Parameters
    ----------
    section : FolderSource or ArchiveSource or ApiSource
        Of a recipe, as `wishes`.
    wishes : Download
    workers : int
        At most as many as there may be connections.

    Returns
    -------
    Source
    """
    if isinstance(section, fetching.FolderSource):
        return FolderSource(section.path.absolute())
    policy = TransferPolicy(
        connections=wishes.connections // workers,
        requests_per_second=wishes.requests_per_second / workers,
        attempts=wishes.attempts,
        contact=wishes.contact,
    )
    if isinstance(section, fetching.ApiSource):
        return ApiSource(section.endpoint, policy, (*section.file_endpoints,))
    return ArchiveSource(section.endpoint, policy, section.bucket, section.recent_bucket)
