"""From a recipe's section to a client of a Dask cluster: here, on SLURM, or somebody else's."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.security import Security

from minkgen.errors import ClusterError
from minkgen.recipe import Cluster, LocalProcesses, SchedulerAddress, SlurmJobs
from minkgen.recipe.machines import Certificates
from minkgen.site_file import load_site
from minkgen.workflows.cluster.slurm import open_slurm

__all__ = ["local_workers", "open_client"]

_CONNECT_TIMEOUT_S = 30
_CONFIGURED = {
    "distributed.comm.tls.ca-file": "ca_file",
    "distributed.comm.tls.client.cert": "cert",
    "distributed.comm.tls.client.key": "key",
}


@contextmanager
def open_client(cluster: Cluster) -> Iterator[Client]:
    """Start or reach the cluster that a recipe asks for, and stop what was started at the end.

    Parameters
    ----------
    cluster : Cluster
        `local`: processes of one thread each, on loopback, as many as the machine lends us cores;
        `slurm`: worker jobs, with the scheduler in this process; `address`: a cluster that somebody
        else has started, and that goes on when we have gone.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ClusterError
        If it cannot be started or reached.
    SiteError
        If its site profile is faulty.
    PlanRefused
        If jobs of its walltime would end in the middle of tasks.
    """
    opened: AbstractContextManager[Client]
    if isinstance(cluster, SlurmJobs):
        opened = open_slurm(load_site(cluster.site), cluster)
    elif isinstance(cluster, SchedulerAddress):
        opened = _open_address(cluster)
    else:
        opened = _open_local(cluster)
    with opened as client:
        yield client


def local_workers(cluster: Cluster) -> int:
    """Return how many processes work on this machine: one per core that it lends us by default."""
    wanted = cluster.workers if isinstance(cluster, LocalProcesses) else None
    return wanted or len(os.sched_getaffinity(0))


@contextmanager
def _open_local(cluster: LocalProcesses) -> Iterator[Client]:
    with (
        _start_beyond_interrupts(
            n_workers=local_workers(cluster),
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            # Our tasks hold one shard, and their results are small: Dask's own limits, made for
            # results kept in memory, would only pause them.
            memory_limit=0,
            # One core a worker: zarr would compress on all of them, and need memory for each.
            env={"ZARR_THREADING__MAX_WORKERS": "1"},
            # What goes wrong in a task comes back as its failure; the rest is noise of the end.
            silence_logs="CRITICAL",
            # Whoever reaches a scheduler runs code as its user, and loopback is open to everybody
            # on a login node: only those with this cluster's own key get in.
            security=True,
            # Nobody takes these processes away: a worker that dies is a failed attempt.
            scheduler_kwargs={"allowed_failures": 0},
        ) as local,
        Client(local) as client,
    ):
        yield client


def _start_beyond_interrupts(**keywords: Any) -> LocalCluster:
    """Start a local cluster whose processes leave Ctrl-C to this one.

    A terminal sends it to all of them. Threads and processes are born with what their parent holds
    back: Dask's thread, and every worker that it ever starts. Here it is only late.
    """
    # Its first start would take the mask off the thread that spawns the first worker.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return LocalCluster(**keywords)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _open_address(cluster: SchedulerAddress) -> Iterator[Client]:
    security = _security(cluster) if cluster.address.startswith("tls://") else None
    try:
        client = Client(cluster.address, security=security, timeout=_CONNECT_TIMEOUT_S)
    except OSError as error:
        raise ClusterError(
            "the scheduler cannot be reached",
            where=cluster.address,
            got=error,
            expected="a Dask scheduler that knows our certificate"
            if security is not None
            else "a Dask scheduler without TLS",
            hint="see that it runs, that this host reaches it, and that the certificates are its",
        ) from error
    with client:
        yield client


def _security(cluster: SchedulerAddress) -> Security:
    files = cluster.certificates or _configured_certificates(cluster.address)
    for path in (files.ca_file, files.cert, files.key):
        if not os.access(path, os.R_OK):
            raise ClusterError(
                "a certificate file cannot be read",
                where=path,
                hint="mend cluster.certificates in the recipe, or Dask's configuration",
            )
    return Security(
        tls_ca_file=str(files.ca_file),
        tls_client_cert=str(files.cert),
        tls_client_key=str(files.key),
        require_encryption=True,
    )


def _configured_certificates(address: str) -> Certificates:
    found = {name: dask.config.get(key, None) for key, name in _CONFIGURED.items()}
    missing = [key for key, name in _CONFIGURED.items() if found[name] is None]
    if missing:
        raise ClusterError(
            "a scheduler with TLS asks for a certificate, and there is none",
            where=address,
            got=f"nothing for {', '.join(missing)} in Dask's configuration",
            expected="files of the authority's certificate, and of our own certificate and key",
            hint="set cluster.certificates.ca_file, .cert and .key in the recipe, or the keys "
            "above in ~/.config/dask",
        )
    return Certificates(**{name: Path(path) for name, path in found.items()})
