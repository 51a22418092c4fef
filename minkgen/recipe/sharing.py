"""Who may read what is published, and for how long it is kept; decides no number."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from minkgen.recipe.sections import Section

__all__ = ["Sharing"]


def _in_quotes(value: Any) -> Any:
    if isinstance(value, int):
        # YAML reads 0022 as the number 18, and 22 as the number 22: what was meant is lost.
        raise ValueError('must stand in quotes, as in "0022"')
    return value


class Sharing(Section):
    """Who may read what is published, and for how long it is kept."""

    umask: Annotated[
        str,
        BeforeValidator(_in_quotes),
        Field(pattern=r"^0?0[0-7]{2}$", description="permissions that others do not get, octal"),
    ] = "0022"
    group: str | None = Field(
        default=None, min_length=1, description="group of what is published; the user's by default"
    )
    grace_days: float = Field(
        default=14.0, ge=0, description="`store prune` keeps what was current more recently"
    )
