"""The job that each worker on SLURM runs in: a pure function of the site and the recipe's section.

dask-jobqueue writes the same script from the same keywords (a test compares the two), so that what
is shown before a run is what is submitted.
"""

from __future__ import annotations

import math
import shlex
import sys
from typing import Any, NamedTuple

from dask.utils import format_bytes

from minkgen.errors import PlanRefused
from minkgen.recipe import SlurmJobs
from minkgen.recipe.site import Site

__all__ = [
    "CA_FILE",
    "CERT_FILE",
    "KEY_FILE",
    "Lifetime",
    "RunNames",
    "job_script",
    "lifetime_of",
    "slurm_keywords",
]

# In the folder of a run's key pair.
CA_FILE, CERT_FILE, KEY_FILE = "ca.pem", "cert.pem", "key.pem"

_WORKER_COMMAND = "distributed.cli.dask_worker"
_SHEBANG = "#!/usr/bin/env bash"
# A job that starts when its driver has gone ends after so many seconds. A worker that comes must
# have compiled the kernel by then, which took 23 s on an idle core, and more than 60 s on a node
# where five programs shared each core.
_DEATH_TIMEOUT_S = 180
_MEBIBYTES_PER_GB = 1024
# In units of a task's longest time. A worker that reaches its end gives its running task back, so
# that no two may end within one task's time, and the last one must have time left to close.
_MARGIN_TASKS = 2
_STAGGER_TASKS = 4
_SHORTEST_WORK_TASKS = 4


class Lifetime(NamedTuple):
    """When workers end on their own: `seconds` after their start, give or take `stagger`."""

    seconds: int
    stagger: int


class RunNames(NamedTuple):
    """What is new in every run, and would make every script another one."""

    job: str = "minkgen-RUN"
    worker: str = "WORKER"
    scheduler: str = "tls://SCHEDULER"
    keys: str = "KEYS"


def lifetime_of(walltime_s: float, task_s: float) -> Lifetime:
    """Return when workers shall end, so that SLURM need not end them in the middle of a task.

    Jobs that started together would reach their walltime together. With T the longest time of a
    task, the last worker ends 2 T before the walltime; ends are spread over twice the stagger,
    which is a tenth of the walltime, and 4 T at least.

    Parameters
    ----------
    walltime_s : float
        Walltime of a job in s.
    task_s : float
        Longest time of one task in s.

    Returns
    -------
    Lifetime
        In whole seconds; ends lie within `seconds` - `stagger` and `seconds` + `stagger`.

    Raises
    ------
    PlanRefused
        If the first worker would end before it has done 4 tasks.

    Examples
    --------
    >>> lifetime_of(4 * 3600, 60)
    Lifetime(seconds=12840, stagger=1440)
    """
    stagger = math.ceil(max(_STAGGER_TASKS * task_s, walltime_s / 10))
    seconds = math.floor(walltime_s - _MARGIN_TASKS * task_s) - stagger
    if seconds - stagger < _SHORTEST_WORK_TASKS * task_s:
        shortest = (_MARGIN_TASKS + 2 * _STAGGER_TASKS + _SHORTEST_WORK_TASKS) * task_s
        raise PlanRefused(
            "the walltime is too short for tasks as long as these",
            where="cluster.walltime",
            got=f"{walltime_s:g} s, and tasks of up to {task_s:g} s (cluster.task_seconds)",
            expected=f"at least {shortest:g} s",
            hint="give a longer walltime",
        )
    return Lifetime(seconds, stagger)


def slurm_keywords(site: Site, jobs: SlurmJobs) -> dict[str, Any]:
    """Return what dask-jobqueue is to be told of every worker's job.

    Every keyword that its configuration files could fill in is given, so that none of them does.

    Parameters
    ----------
    site : Site
    jobs : SlurmJobs

    Returns
    -------
    dict
        Keywords of `dask_jobqueue.SLURMCluster`.

    Raises
    ------
    PlanRefused
        If the walltime is too short.
    """
    lifetime = lifetime_of(jobs.walltime_seconds(), jobs.task_seconds)
    return {
        "queue": site.queue,
        "account": site.account,
        "cores": jobs.cores,
        "job_cpu": jobs.cores,
        # With two processes in a job, a cancelled job is never replaced.
        "processes": 1,
        "memory": f"{jobs.memory_gb}GiB",
        "job_mem": f"{math.ceil(jobs.memory_gb * _MEBIBYTES_PER_GB)}M",
        "walltime": jobs.walltime,
        "interface": site.interface,
        "python": site.python or shlex.quote(sys.executable),
        "local_directory": f"{_node_folder(site)}/dask",
        "log_directory": site.logs,
        "death_timeout": _DEATH_TIMEOUT_S,
        "worker_command": _WORKER_COMMAND,
        "worker_extra_args": [
            # Without it a worker answers HTTP on all interfaces.
            "--dashboard-address",
            "127.0.0.1:0",
            "--lifetime",
            f"{lifetime.seconds}s",
            "--lifetime-stagger",
            f"{lifetime.stagger}s",
        ],
        "job_extra_directives": list(site.directives),
        "job_directives_skip": [],
        "job_script_prologue": _prologue(site),
        "shebang": _SHEBANG,
    }


def _node_folder(site: Site) -> str:
    return f"{site.scratch.rstrip('/')}/minkgen-$UID"


def _prologue(site: Site) -> list[str]:
    folder = _node_folder(site)
    return [
        *(f"module load {module}" for module in site.modules),
        *site.job_script_prologue,
        # Compiled kernels are code: nobody else may have put them there.
        f"mkdir -p -m 700 {folder}",
        f'[[ -O {folder} && ! -L {folder} ]] || {{ echo "{folder} is not ours" >&2; exit 1; }}',
        # A cache that many nodes fill at once is damaged; each node has its own.
        f"export NUMBA_CACHE_DIR={folder}/numba",
        # `python -m` looks for modules in the working folder first: the driver's, where that is a
        # checkout, holds half of minkgen.
        "export PYTHONSAFEPATH=1",
        # One core a task: zarr would compress on all of them, and need memory for each.
        "export ZARR_THREADING__MAX_WORKERS=1",
        # Tasks hold one shard, and return little: nothing could be moved to disk, and a worker that
        # pauses because its memory is not given back would never go on. The limit stays.
        *(
            f"export DASK_DISTRIBUTED__WORKER__MEMORY__{name}=False"
            for name in ("TARGET", "SPILL", "PAUSE")
        ),
    ]


def job_script(site: Site, jobs: SlurmJobs, names: RunNames = RunNames()) -> str:  # noqa: B008
    """Return the script of one worker's job, as it is submitted.

    Parameters
    ----------
    site : Site
    jobs : SlurmJobs
    names : RunNames, optional
        What is new in every run; words that say what stands there by default.

    Returns
    -------
    str

    Raises
    ------
    PlanRefused
        If the walltime is too short.
    """
    keywords = slurm_keywords(site, jobs)
    log = f"{keywords['log_directory']}/{names.job}-%J"
    account = [] if site.account is None else [f"-A {site.account}"]
    directives = [
        f"-J {names.job}",
        f"-e {log}.err",
        f"-o {log}.out",
        f"-p {keywords['queue']}",
        *account,
        "-n 1",
        f"--cpus-per-task={keywords['job_cpu']}",
        f"--mem={keywords['job_mem']}",
        f"-t {keywords['walltime']}",
        *keywords["job_extra_directives"],
    ]
    memory = format_bytes(int(jobs.memory_gb * 2**30)).replace(" ", "")
    command = [
        f"{keywords['python']} -m {_WORKER_COMMAND} {names.scheduler}",
        f"--name {names.worker}",
        f"--nthreads {jobs.cores}",
        f"--memory-limit {memory}",
        "--nanny",
        f"--death-timeout {keywords['death_timeout']}",
        f"--local-directory {keywords['local_directory']}",
        *keywords["worker_extra_args"],
        f"--interface {keywords['interface']}",
        "--protocol tls://",
        f"--tls-ca-file {names.keys}/{CA_FILE}",
        f"--tls-cert {names.keys}/{CERT_FILE}",
        f"--tls-key {names.keys}/{KEY_FILE}",
    ]
    lines = [
        _SHEBANG,
        "",
        *(f"#SBATCH {directive}" for directive in directives),
        *keywords["job_script_prologue"],
        " ".join(command),
    ]
    return "\n".join(lines) + "\n"
