"""Where composites come in: on the node where `ingest` runs, whatever cluster a recipe names.

Few compute nodes reach the internet, and a download keeps no core busy; so that no job waits for a
server, `ingest` works with processes of its own node, as many as the site lends it.
"""

from __future__ import annotations

from minkgen.recipe import LocalProcesses, Recipe
from minkgen.recipe.site import Transfer
from minkgen.site_file import load_site

__all__ = ["transfer_note", "transfer_recipe"]


def transfer_recipe(recipe: Recipe) -> Recipe:
    """Return a recipe with a cluster and connections for the node where `ingest` runs.

    Parameters
    ----------
    recipe : Recipe

    Returns
    -------
    Recipe
        Its cluster is local. The `transfer` section of its site gives the number of processes,
        unless the recipe itself gives one for a local cluster, and the largest number of
        connections. A local cluster without a site stays as it is.

    Raises
    ------
    SiteError
        If the site profile is faulty.
    """
    cluster, download = recipe.cluster, recipe.download
    own_workers = cluster.workers if isinstance(cluster, LocalProcesses) else None
    if isinstance(cluster, LocalProcesses) and cluster.site is None:
        return recipe
    transfer = Transfer() if cluster.site is None else load_site(cluster.site).transfer
    connections = min(download.connections, transfer.connections or download.connections)
    return recipe.model_copy(
        update={
            "cluster": LocalProcesses(site=cluster.site, workers=own_workers or transfer.workers),
            "download": download.model_copy(update={"connections": connections}),
        }
    )


def transfer_note(recipe: Recipe) -> str | None:
    """Return where a site wants `ingest` to run, for people; None where the recipe names no site.

    Raises
    ------
    SiteError
        If the site profile is faulty.
    """
    site = recipe.cluster.site
    if site is None:
        return None
    node = load_site(site).transfer.node
    return f"ingest runs here, without jobs; the profile {site} wants it on a {node} node"
