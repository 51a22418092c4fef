"""Jobs: their script word by word, equal to what dask-jobqueue submits, and when they end."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import dask
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minkgen.errors import ClusterError, PlanRefused
from minkgen.recipe import SlurmJobs
from minkgen.recipe.site import Site
from minkgen.workflows.cluster import job_watch, open_client, run_tasks
from minkgen.workflows.cluster.job_script import RunNames, job_script, lifetime_of
from minkgen.workflows.cluster.slurm import import_slurm_cluster, open_slurm, slurm_cluster
from minkgen.workflows.progress import Silent

GOLDEN = Path(__file__).parent / "golden"
SITE = Site(
    queue="compute",
    account="my-project",
    interface="ib0",
    scratch="$TMPDIR/local",
    shared="/home/me",
    logs="/home/me/logs",
    modules=("gcc/13.2", "python/3.11"),
    job_script_prologue=("ulimit -c 0",),
    python="/project/venv/bin/python",
    directives=("--qos=long", "--constraint=cpu"),
)
SMALLEST = Site(
    queue="main",
    interface="lo",
    scratch="/scratch",
    shared="/h",
    logs="/h",
    python="/usr/bin/python3",
)
JOBS = SlurmJobs(kind="slurm", site="mine.yaml", workers=8, cores=2, memory_gb=7.5)


@pytest.mark.parametrize(
    ("name", "site", "jobs"),
    [
        ("job-script-full.sh", SITE, JOBS),
        ("job-script-smallest.sh", SMALLEST, SlurmJobs(kind="slurm", site="x", workers=1)),
    ],
)
def test_the_script_is_as_agreed(name: str, site: Site, jobs: SlurmJobs) -> None:
    script = job_script(site, jobs)
    golden = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(script, encoding="utf-8")
    assert script == golden.read_text(encoding="utf-8")


@pytest.fixture
def loopback_site(tmp_path: Path) -> Site:
    return SITE.model_copy(
        update={"interface": "lo", "shared": str(tmp_path), "logs": str(tmp_path / "logs")}
    )


@pytest.mark.parametrize("removed", [{}, {"account": None, "python": None, "directives": ()}])
def test_dask_jobqueue_submits_the_same(
    loopback_site: Site, tmp_path: Path, removed: dict[str, Any]
) -> None:
    site = loopback_site.model_copy(update=removed)
    handler = signal.getsignal(signal.SIGINT)
    import_slurm_cluster()
    assert signal.getsignal(signal.SIGINT) is handler
    # A user's own configuration of dask-jobqueue must not change what was shown.
    user = {"account": "x", "queue": "x", "job-cpu": 9, "shebang": "x", "job-extra-directives": "x"}
    configured = {f"jobqueue.slurm.{key}": value for key, value in user.items()}
    with (
        dask.config.set(configured),
        slurm_cluster(site, JOBS, "minkgen-1", str(tmp_path)) as cluster,
    ):
        submitted, address = cluster.job_script(), cluster.scheduler_address
    assert address.startswith("tls://127.0.0.1:")
    names = RunNames("minkgen-1", "dummy-name", address, str(tmp_path))
    assert submitted == job_script(site, JOBS, names)
    keys = sorted(tmp_path.glob("*.pem"))
    assert [path.name for path in keys] == ["ca.pem", "cert.pem", "key.pem"]
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}


def test_the_shell_accepts_the_script(tmp_path: Path) -> None:
    path = tmp_path / "job.sh"
    path.write_text(job_script(SMALLEST, JOBS))
    subprocess.run(["/bin/bash", "-n", str(path)], check=True)  # noqa: S603 - our own script


@pytest.mark.parametrize("trap", ["theirs", "link"])
def test_a_node_folder_of_another_user_is_refused(tmp_path: Path, trap: str) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    folder = scratch / f"minkgen-{os.getuid()}"
    site = SMALLEST.model_copy(update={"scratch": str(scratch), "python": "/bin/true"})
    script = job_script(site, JOBS)

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/bash"], input=script, capture_output=True, text=True, check=False
        )

    assert run().returncode == 0
    assert folder.stat().st_mode & 0o777 == 0o700
    if trap == "link":
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
    elif os.getuid() == 0:
        os.chown(folder, 12345, 12345)
    else:
        pytest.skip("only root can make a folder another user's")
    refused = run()
    assert refused.returncode == 1
    assert f"{folder} is not ours" in refused.stderr


@given(
    walltime=st.integers(60, 14 * 24 * 3600),
    task=st.floats(0.5, 3600, allow_nan=False),
)
def test_workers_end_before_their_walltime_and_not_together(walltime: int, task: float) -> None:
    try:
        lifetime = lifetime_of(walltime, task)
    except PlanRefused:
        assert walltime < 14 * task + 3 or walltime < 20 * task
        return
    first, last = lifetime.seconds - lifetime.stagger, lifetime.seconds + lifetime.stagger
    assert last + 2 * task <= walltime
    assert first >= 4 * task
    assert lifetime.stagger >= 4 * task
    assert lifetime.stagger >= walltime / 10


def test_a_walltime_that_is_too_short_is_refused_with_the_shortest() -> None:
    with pytest.raises(PlanRefused) as caught:
        lifetime_of(600, 60)
    assert caught.value.expected == "at least 840 s"
    assert lifetime_of(840, 60) == (480, 240)


def test_without_slurm_the_error_says_what_is_missing(
    loopback_site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(ClusterError, match="SLURM's commands are not on the PATH"),
        open_slurm(loopback_site, JOBS),
    ):
        pass
    assert not list(tmp_path.glob("minkgen-keys-*"))


def test_a_host_without_the_interface_is_no_place_for_a_scheduler(tmp_path: Path) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text(SITE.model_copy(update={"interface": "nope0"}).model_dump_json())
    jobs = JOBS.model_copy(update={"site": str(profile)})
    with pytest.raises(ClusterError, match="network interface") as caught, open_client(jobs):
        pass
    assert caught.value.where == "nope0"
    assert "lo" in str(caught.value.got)


def double(number: int) -> int:
    return 2 * number


@pytest.mark.parametrize(
    ("squeue", "log", "told"),
    [
        ("[ -e {0}/submitted ] || echo 7", "no such Python", "no such Python"),
        (
            "echo >> {0}/looks; wc -l < {0}/looks",
            "\n".join(("a", "  b", "ImportError: it", "OSError: c", "d", "1", "2", "3", "4", "5")),
            "ImportError: it\n1\n2\n3\n4\n5",
        ),
    ],
    ids=["and none follows", "and another one follows each"],
)
def test_jobs_that_all_end_before_a_worker_comes_end_the_run(
    loopback_site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    squeue: str,
    log: str,
    told: str,
) -> None:
    """Programs that stand in for SLURM's take every job, and each has ended at once."""
    (tmp_path / "text").write_text(log)
    bodies = {
        "sbatch": f"""
            [ "$1" = --test-only ] && exit
            log=$(sed -n 's/#SBATCH -e //p' "$1" | sed s/%J/7/)
            cp {tmp_path}/text "$log"
            touch {tmp_path}/submitted
            echo Submitted batch job 7""",
        "squeue": squeue.format(tmp_path),
        "scancel": f'echo "$@" >> {tmp_path}/cancelled',
    }
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, body in bodies.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(job_watch, "_INTERVAL_S", 0.1)
    with (
        pytest.raises(ClusterError, match="all jobs ended before a worker came") as caught,
        open_slurm(loopback_site, JOBS) as client,
    ):
        run_tasks(client, double, [1, 2], Silent(), what="not doubled")
    assert caught.value.got == told
    cancelled = (tmp_path / "cancelled").read_text().splitlines()
    assert cancelled[-1].startswith("--quiet --name minkgen-")
    assert "7" in cancelled
    assert not list(tmp_path.glob("minkgen-keys-*"))
