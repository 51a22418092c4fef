"""Where tasks run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from minkgen.recipe.sections import PositiveFloat, Section

__all__ = [
    "Certificates",
    "Cluster",
    "LocalProcesses",
    "SchedulerAddress",
    "SlurmJobs",
    "Walltime",
]

_WALLTIME = re.compile(r"(\d{2,3}):([0-5]\d):([0-5]\d)")


def _as_text(value: object) -> object:
    if not isinstance(value, str):
        # YAML reads 12:00:00 without quotes as 43200, and SLURM would take that for minutes.
        raise ValueError('must be text like "04:00:00", in quotes')
    return value


def _hours_minutes_seconds(text: str) -> str:
    if not _WALLTIME.fullmatch(text) or not text.strip("0:"):
        raise ValueError('must be hours, minutes and seconds like "04:00:00", more than none')
    return text


Walltime = Annotated[str, BeforeValidator(_as_text), AfterValidator(_hours_minutes_seconds)]


class _Machines(Section):
    """What all kinds of clusters share."""

    site: str | None = Field(
        default=None, description="a site profile: the name of a shipped one, or a YAML file"
    )


class LocalProcesses(_Machines):
    """Processes of this machine, of one thread each."""

    kind: Literal["local"] = "local"
    workers: int | None = Field(default=None, ge=1, description="processes; all cores by default")


class SlurmJobs(_Machines):
    """Jobs of one worker process each, which the driver submits to SLURM."""

    kind: Literal["slurm"]
    site: str = Field(description="a site profile: the name of a shipped one, or a YAML file")
    workers: int = Field(ge=1, description="jobs that are kept running")
    cores: int = Field(default=1, ge=1, description="of each job: tasks that it works on at once")
    memory_gb: PositiveFloat = Field(
        default=4.0, description="of each job, in GB as SLURM counts them (2**30 bytes)"
    )
    walltime: Walltime = Field(default="04:00:00", description="of each job, HH:MM:SS")
    task_seconds: PositiveFloat = Field(
        default=60.0, description="longest time of one task; jobs end well before their walltime"
    )

    def walltime_seconds(self) -> int:
        """Return the walltime in seconds."""
        hours, minutes, seconds = map(int, self.walltime.split(":"))
        return 3600 * hours + 60 * minutes + seconds


class Certificates(Section):
    """Files with which a client proves itself to a scheduler, all in PEM format."""

    ca_file: Path = Field(description="certificate of the authority that signed all others")
    cert: Path
    key: Path = Field(description="readable by its owner alone")


class SchedulerAddress(_Machines):
    """A Dask cluster that somebody else has started."""

    kind: Literal["address"]
    address: str = Field(pattern=r"^(tls|tcp)://[^\s/?#@]+:\d{1,5}$", description="tls://HOST:PORT")
    certificates: Certificates | None = Field(
        default=None, description="for tls://; those of Dask's configuration by default"
    )


def _kind(cluster: Any) -> Any:
    if isinstance(cluster, Mapping):
        return cluster.get("kind", "local")
    return getattr(cluster, "kind", None)


Cluster = Annotated[
    Annotated[LocalProcesses, Tag("local")]
    | Annotated[SlurmJobs, Tag("slurm")]
    | Annotated[SchedulerAddress, Tag("address")],
    Discriminator(_kind),
]
