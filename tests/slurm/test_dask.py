"""Dask on the test bed: workers as SLURM jobs, and one that is cancelled and replaced."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest
from distributed import Client, as_completed
from distributed.security import Security

from tests.slurm.bed import Bed, wait_until
from tests.slurm.sockets import beyond_loopback, listening

pytestmark = pytest.mark.slurm


@pytest.fixture
def cluster(inside_bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Start a cluster of two workers, a SLURM job each, kept at two."""
    monkeypatch.setattr(dask.config, "PATH", str(tmp_path / "dask"))
    handler = signal.getsignal(signal.SIGINT)
    from dask_jobqueue import SLURMCluster  # it takes SIGINT, and writes into dask's folder

    signal.signal(signal.SIGINT, handler)
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    with (
        dask.config.set(
            {
                "distributed.deploy.lost-worker-timeout": "3s",
                "distributed.scheduler.allowed-failures": 10,
            }
        ),
        SLURMCluster(
            queue="main",
            cores=1,
            processes=1,
            memory="1GB",
            walltime="00:30:00",
            interface="lo",
            python=sys.executable,
            local_directory=str(tmp_path / "local"),
            log_directory=str(tmp_path / "logs"),
            death_timeout=60,
            worker_extra_args=["--dashboard-address", "127.0.0.1:0"],
            scheduler_options={"dashboard_address": "127.0.0.1:0"},
            security=Security.temporary(),
            protocol="tls://",
            shared_temp_directory=str(keys),
        ) as started,
    ):
        started.adapt(minimum=2, maximum=2)
        yield started


def test_a_cancelled_worker_is_replaced_and_all_results_are_right(
    inside_bed: Bed, cluster: Any
) -> None:
    def square(number: int) -> tuple[int, str]:
        time.sleep(0.25)
        return number**2, os.environ["SLURM_JOB_ID"]

    def jobs() -> set[str]:
        return {
            str(job) for job in client.run(os.getenv, "SLURM_JOB_ID", on_error="ignore").values()
        }

    with Client(cluster) as client:
        client.wait_for_workers(2, timeout=90)
        first_jobs = jobs()
        assert len(first_jobs) == 2
        addresses = listening(inside_bed.processes() | {os.getpid()})
        assert len(addresses) >= 5 + 2 + 1  # SLURM's, the workers', the scheduler's
        assert beyond_loopback(addresses) == {}

        futures = client.map(square, range(20))
        _, victim = next(as_completed(futures)).result()
        assert victim in first_jobs
        inside_bed.cancel(victim)
        assert inside_bed.wait(victim, {"CANCELLED", "COMPLETED"}, 30) == "CANCELLED"

        assert [number for number, _ in client.gather(futures)] == [n**2 for n in range(20)]
        wait_until("another worker", lambda: len(jobs() - {victim}) == 2, 90)
        assert victim not in jobs()
        assert len(jobs() - first_jobs) == 1
        new = client.map(square, range(20, 40))
        assert {job for _, job in client.gather(new)} == jobs()
