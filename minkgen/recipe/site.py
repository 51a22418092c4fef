"""Site profiles: what jobs on a cluster need to know of the place; none of it decides a number."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from minkgen.recipe.sections import Section

__all__ = ["Site", "Transfer"]


def _expanded(value: Any) -> Any:
    """Replace `~` and the variables of the environment; one that is not set is a fault."""
    if not isinstance(value, str):
        return value
    expanded = os.path.expandvars(os.path.expanduser(value))
    if "$" in expanded:
        raise ValueError("names a variable that the environment does not set")
    return expanded


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("must be one line of text")
    return text


# Job scripts carry these without quotes, so that the shell of a node fills in its own variables.
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:@/,-]+$")]
NodePath = Annotated[str, Field(pattern=r"^[/$][A-Za-z0-9_./+@%:,={}$-]*$")]
SharedPath = Annotated[str, BeforeValidator(_expanded), Field(pattern=r"^/[A-Za-z0-9_./+@%:,=-]*$")]
Line = Annotated[str, AfterValidator(_one_line)]


class Transfer(Section):
    """Where and how composites come in: `ingest` uses no job, since few nodes reach the internet.

    Proxies are those of the environment (`HTTPS_PROXY`, `NO_PROXY` and their kin).
    """

    node: Literal["login", "transfer"] = Field(
        default="login", description="on which kind of node users of this site run `ingest`"
    )
    workers: int = Field(default=2, ge=1, le=64, description="processes on that node")
    connections: int | None = Field(
        default=None, ge=1, le=64, description="at most so many, whatever a recipe asks for"
    )


class Site(Section):
    """A cluster that runs SLURM, as its users see it."""

    queue: Word = Field(description="partition")
    account: Word | None = Field(default=None, description="to whose account jobs are put")
    interface: Word = Field(
        description="network interface that login and compute nodes have, and reach each other by"
    )
    scratch: NodePath = Field(
        description="folder on each node's own disk; variables are those of the job"
    )
    shared: SharedPath = Field(
        description="folder that login and compute nodes see: the keys of a run, in its own folder"
    )
    logs: SharedPath = Field(description="folder that login and compute nodes see: logs of jobs")
    modules: tuple[Word, ...] = Field(default=(), description="`module load` before Python")
    job_script_prologue: tuple[Line, ...] = Field(
        default=(), description="lines of shell before Python"
    )
    python: NodePath | None = Field(
        default=None, description="on compute nodes; the driver's own by default"
    )
    directives: tuple[Line, ...] = Field(
        default=(), description='more of what follows #SBATCH, as in "--qos=long"'
    )
    transfer: Transfer = Transfer()
