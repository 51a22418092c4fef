"""Workers as SLURM jobs: submitted through dask-jobqueue, encrypted, cancelled at the end."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dask
from distributed import Client
from distributed.security import Security
from distributed.utils import get_ip_interface

from minkgen.errors import ClusterError
from minkgen.recipe import SlurmJobs
from minkgen.recipe.site import Site
from minkgen.workflows.cluster.job_script import (
    CA_FILE,
    CERT_FILE,
    KEY_FILE,
    RunNames,
    job_script,
    slurm_keywords,
)
from minkgen.workflows.cluster.job_watch import watch_jobs

__all__ = ["import_slurm_cluster", "open_slurm", "slurm_cluster"]

# A worker that is cancelled or pre-empted dies like one that a task has killed: only so many deaths
# are a failed attempt.
_ALLOWED_FAILURES = 3
_COMMAND_TIMEOUT_S = 60
# What dask-jobqueue would read from the user's configuration files where a keyword is None.
_NO_CONFIGURATION = dict.fromkeys(
    f"jobqueue.slurm.{key}"
    for key in ("account", "project", "extra", "env-extra", "job-extra", "header-skip")
)


@contextmanager
def open_slurm(site: Site, jobs: SlurmJobs) -> Iterator[Client]:
    """Keep so many worker jobs running, and cancel them at the end.

    The scheduler runs in this process, and listens on the site's interface only. A key pair of this
    run lies in a folder that nobody else may enter; without it nobody gets in.

    Parameters
    ----------
    site : Site
    jobs : SlurmJobs

    Yields
    ------
    distributed.Client

    Raises
    ------
    ClusterError
        If SLURM does not answer or would refuse the job, or this host is no place for a scheduler.
    PlanRefused
        If the walltime is too short.
    """
    names = RunNames(job=f"minkgen-{secrets.token_hex(4)}")
    _check_host(site)
    _refuse_unusable_job(job_script(site, jobs, names))
    with tempfile.TemporaryDirectory(prefix="minkgen-keys-", dir=site.shared) as keys:
        try:
            with slurm_cluster(site, jobs, names.job, keys) as cluster, Client(cluster) as client:
                # With a fixed size, a cancelled job would not be replaced.
                cluster.adapt(minimum=jobs.workers, maximum=jobs.workers)
                logs = Path(site.logs)
                with watch_jobs(client, lambda: _jobs(names.job), jobs.workers, logs, names.job):
                    yield client
        finally:
            # Dask cancels the jobs that it knows of; one may have been on its way to SLURM.
            with suppress(ClusterError):
                _command("scancel", "--quiet", "--name", names.job)


@contextmanager
def slurm_cluster(site: Site, jobs: SlurmJobs, job_name: str, keys: str) -> Iterator[Any]:
    """Start dask-jobqueue's cluster: a scheduler, and no worker yet.

    Parameters
    ----------
    site : Site
    jobs : SlurmJobs
    job_name : str
    keys : str
        Folder that nodes see and nobody else may enter; receives a new key pair.

    Yields
    ------
    dask_jobqueue.SLURMCluster
    """
    slurm_cluster_class = import_slurm_cluster()
    with (
        dask.config.set(_NO_CONFIGURATION),
        slurm_cluster_class(
            **slurm_keywords(site, jobs),
            job_name=job_name,
            security=_write_keys(Path(keys)),
            protocol="tls://",
            scheduler_options={
                "dashboard_address": "127.0.0.1:0",
                "allowed_failures": _ALLOWED_FAILURES,
            },
            silence_logs="CRITICAL",
        ) as cluster,
    ):
        yield cluster


def import_slurm_cluster() -> Any:
    """Import dask-jobqueue, which replaces the handler of Ctrl-C, and put the handler back."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        from dask_jobqueue import SLURMCluster
    finally:
        signal.signal(signal.SIGINT, handler)
    return SLURMCluster


def _write_keys(folder: Path) -> Security:
    """Make a key pair for all roles, in files that nobody else may read."""
    made = Security.temporary()
    texts = {
        CA_FILE: made.tls_ca_file,
        CERT_FILE: made.tls_worker_cert,
        KEY_FILE: made.tls_worker_key,
    }
    for name, text in texts.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="ascii")
    roles = ("scheduler", "worker", "client")
    return Security(
        require_encryption=True,
        tls_ca_file=str(folder / CA_FILE),
        **{f"tls_{role}_cert": str(folder / CERT_FILE) for role in roles},
        **{f"tls_{role}_key": str(folder / KEY_FILE) for role in roles},
    )


def _check_host(site: Site) -> None:
    try:
        get_ip_interface(site.interface)
    except ValueError as error:
        raise ClusterError(
            "this host does not have the site's network interface",
            where=site.interface,
            got=error,
            hint="start where jobs are submitted, or mend `interface` in the site profile",
        ) from error
    for folder in (site.shared, site.logs):
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ClusterError(
                "a folder of the site profile cannot be used",
                where=folder,
                got=error,
                hint="mend `shared` and `logs` in the site profile: folders of your own",
            ) from error


def _refuse_unusable_job(script: str) -> None:
    """Ask SLURM whether it would take the job: Dask would go on submitting what it refuses."""
    answer = _command("sbatch", "--test-only", script=script)
    if answer.returncode != 0:
        raise ClusterError(
            "SLURM would not take the jobs",
            where="sbatch --test-only",
            got=answer.stderr.strip() or f"exit status {answer.returncode}",
            hint="mend the site profile, or ask for less in the recipe's cluster section "
            "(memory_gb, cores, walltime): `sinfo --format='%P %c %m %l'` lists what nodes have",
        )


def _jobs(name: str) -> frozenset[str] | None:
    """Return the numbers of the jobs of this name that SLURM has; None where it does not answer."""
    try:
        answer = _command("squeue", "--noheader", "--format=%i", "--name", name)
    except ClusterError:
        return None
    return frozenset(answer.stdout.split()) if answer.returncode == 0 else None


def _command(name: str, *arguments: str, script: str = "") -> subprocess.CompletedProcess[str]:
    program = shutil.which(name)
    if program is None:
        raise ClusterError(
            "SLURM's commands are not on the PATH",
            where=name,
            hint="start on a login node, or load the module that brings them",
        )
    try:
        return subprocess.run(  # noqa: S603 - a fixed command
            [program, *arguments],
            input=script,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(
            "SLURM does not answer",
            where=name,
            got=f"nothing in {_COMMAND_TIMEOUT_S} s",
            hint="look at `sinfo`, and try again when it answers",
        ) from error
