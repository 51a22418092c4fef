"""The one-host SLURM of deploy/testbed, for tests: jobs, faults, and its processes."""

from __future__ import annotations

import getpass
import os
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NODES", "TESTBED", "Bed", "NotInstalledError", "wait_until"]

TESTBED = Path(__file__).parents[2] / "deploy" / "testbed"
NOT_INSTALLED = 3
NODES = (1, 2, 3, 4)
# A client waits for ever when the controller does not answer.
CLIENT_SECONDS = 30.0
POLL_SECONDS = 0.2


class NotInstalledError(Exception):
    """SLURM's programs are not on this host; the text says how to get them."""


def wait_until(what: str, happened: Callable[[], object], seconds: float) -> None:
    """Poll until something true is returned; TimeoutError after so many seconds."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(POLL_SECONDS)


def call(
    *command: str | Path,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    seconds: float = CLIENT_SECONDS,
) -> str:
    """Run a program; return what it printed, or raise with all that it said."""
    done = subprocess.run(  # noqa: S603 - SLURM's own programs and the scripts beside them
        [str(part) for part in command],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode == NOT_INSTALLED and Path(command[0]).name == "start.sh":
        raise NotInstalledError(done.stderr.strip())
    if done.returncode:
        said = f"{done.stdout}\n{done.stderr}".strip()
        raise RuntimeError(f"{' '.join(map(str, command))}: status {done.returncode}\n{said}")
    return done.stdout


@dataclass(frozen=True)
class Bed:
    """A running test bed.

    Parameters
    ----------
    base : Path
        The folder of everything it writes.
    """

    base: Path

    @classmethod
    @contextmanager
    def running(cls, base: Path) -> Iterator[Bed]:
        """Start a bed in a new or empty folder and stop it at the end.

        It ends with this process even if that is killed.

        Raises
        ------
        NotInstalledError
            If SLURM is not on this host.
        """
        call(TESTBED / "start.sh", base, str(os.getpid()), seconds=90)
        try:
            yield cls(base)
        finally:
            cls(base).stop()

    def stop(self) -> None:
        """End the bed and all its jobs; its files stay, and it may have ended already."""
        call(TESTBED / "stop.sh", self.base, seconds=90)

    def environment(self) -> dict[str, str]:
        """Return this process's environment, changed so that SLURM's programs use this bed."""
        pairs = call("bash", "-c", '. "$1" && env -0', "bash", self.base / "env.sh")
        return dict(pair.split("=", 1) for pair in pairs.split("\0") if pair)

    def run(self, *command: str | Path) -> str:
        """Run one of SLURM's programs in the folder of the jobs; return what it printed."""
        return call(*command, environment=self.environment(), folder=self.jobs)

    @property
    def jobs(self) -> Path:
        """The working folder of the jobs, where `slurm-ID.out` of each is."""
        return self.base / "jobs"

    def submit(self, script: str | Path, *arguments: str, options: Sequence[str] = ()) -> str:
        """Submit a job.

        Parameters
        ----------
        script : str or Path
            A shell script's text, or its file.
        *arguments : str
            Given to the script.
        options : sequence of str, optional
            Given to sbatch: "--nodelist=n1".

        Returns
        -------
        str
            The job's id.
        """
        if isinstance(script, str):
            file = self.jobs / f"script-{time.monotonic_ns()}.sh"
            file.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        else:
            file = script
        return self.run("sbatch", "--parsable", *options, file, *arguments).strip()

    def describe(self, job: str) -> dict[str, str]:
        """Return what `scontrol show job` knows of a job: JobState, Restarts, BatchHost, ..."""
        words = self.run("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def state(self, job: str) -> str:
        """Return a job's state: PENDING, RUNNING, COMPLETED, CANCELLED, ..."""
        return self.describe(job)["JobState"]

    def wait(self, job: str, states: str | Collection[str], seconds: float) -> str:
        """Wait until a job is in one of some states and return that; TimeoutError after a while."""
        wanted = {states} if isinstance(states, str) else set(states)
        end = time.monotonic() + seconds
        while (description := self.describe(job))["JobState"] not in wanted:
            if time.monotonic() > end:
                raise TimeoutError(f"job {job} not {wanted} within {seconds:g} s: {description}")
            time.sleep(POLL_SECONDS)
        return description["JobState"]

    def output(self, job: str) -> str:
        """Return what a job printed so far; requeued jobs begin anew."""
        file = self.jobs / f"slurm-{job}.out"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def cancel(self, *jobs: str) -> None:
        """Cancel jobs; those that ended are left as they are."""
        self.run("scancel", *jobs)

    def kill_node(self, number: int) -> None:
        """Kill a node's slurmd, steps and jobs' processes and set it down: jobs are requeued."""
        self._node("kill", number)

    def cut_slurmd(self, number: int) -> None:
        """Kill a node's slurmd alone: half a minute later its jobs run elsewhere, and here too."""
        self._node("cut", number)

    def resume_node(self, number: int) -> None:
        """Start a node's slurmd again and wait until the node takes jobs."""
        self._node("resume", number)

    def clear(self) -> None:
        """Cancel all jobs, mend all nodes, and wait until they are idle."""
        self.run("scancel", "--user", getpass.getuser())
        for number in NODES:
            self.resume_node(number)

        def idle() -> bool:
            return set(self.run("sinfo", "--noheader", "--Node", "--format=%T").split()) == {"idle"}

        wait_until("all nodes idle", idle, 60)

    def _node(self, verb: str, number: int) -> None:
        call(TESTBED / "node.sh", self.base, verb, f"n{number}", seconds=90)

    def processes(self) -> set[int]:
        """Return the ids of the bed's processes and its jobs', by the SLURM_CONF they carry.

        Stopping goes by recorded ids and descent: this is another way to find them.
        """
        mark = f"SLURM_CONF={self.base.resolve()}/slurm.conf".encode()
        found = set()
        for entry in Path("/proc").iterdir():
            try:
                carries = entry.name.isdigit() and mark in (entry / "environ").read_bytes()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if carries:
                found.add(int(entry.name))
        return found
