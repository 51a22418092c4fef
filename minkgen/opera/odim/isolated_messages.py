"""What `IsolatedReader` and its decoding process say to each other: JSON, one message a packet.

Arrays do not travel: they stand in memory that both share, values first, then quality.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minkgen.errors import SourceError
from minkgen.grid import GRIDS
from minkgen.opera.keys import ArchiveKey
from minkgen.opera.odim import Composite
from minkgen.opera.odim.decoding import Scaling

__all__ = [
    "LONGEST_MESSAGE",
    "READY",
    "SHARED_BYTES",
    "ArrayOfShape",
    "composite_reply",
    "error_reply",
    "fill_in_order",
    "parse_reply",
    "parse_request",
    "request",
]

READY = b"ready"
# A roster has at most 20,000 characters, everything else is shorter.
LONGEST_MESSAGE = 128 * 1024
SHARED_BYTES = 2 * 4 * max(grid.height * grid.width for grid in GRIDS.values())

ArrayOfShape = Callable[[tuple[int, int]], npt.NDArray[np.float32]]


def fill_in_order(shared: npt.NDArray[np.float32]) -> ArrayOfShape:
    """Return a function that gives one part after another of the shared memory."""
    used = 0

    def part(shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        nonlocal used
        start, used = used, used + shape[0] * shape[1]
        return shared[start:used].reshape(shape)

    return part


def request(path: Path, key: ArchiveKey | None, accepted: tuple[Scaling, ...]) -> bytes:
    """Ask for a file to be decoded."""
    told_key = None if key is None else [key.time.isoformat(), key.product_name]
    return json.dumps({"path": str(path), "key": told_key, "accepted": accepted}).encode()


def parse_request(message: bytes) -> tuple[Path, ArchiveKey | None, tuple[Scaling, ...]]:
    """Return the arguments of `request`."""
    asked = json.loads(message)
    key = asked["key"] and ArchiveKey(datetime.fromisoformat(asked["key"][0]), asked["key"][1])
    return Path(asked["path"]), key, tuple(Scaling(*scaling) for scaling in asked["accepted"])


def composite_reply(composite: Composite) -> bytes:
    """Answer with all but the arrays of a composite."""
    start, end = composite.window
    return json.dumps(
        {
            "composite": {
                "quantity": composite.quantity,
                "era": composite.era,
                "odim_version": composite.odim_version,
                "grid": composite.grid.name,
                "time": composite.time.isoformat(),
                "window": [start.isoformat(), end.isoformat()],
                "has_quality": composite.quality is not None,
                "source": composite.source,
                "radars": composite.radars,
                "not_finite": composite.not_finite,
                "z_r": composite.z_r,
            }
        }
    ).encode()


def error_reply(error: SourceError) -> bytes:
    """Answer with what is wrong with the file."""
    details = {name: getattr(error, name) for name in ("where", "got", "expected", "hint")}
    told = {name: value and str(value) for name, value in details.items()}
    return json.dumps({"error": {"what": error.what, **told}}).encode()


def parse_reply(message: bytes, shared: npt.NDArray[np.float32]) -> Composite:
    """Return the composite, with arrays of its own.

    Raises
    ------
    SourceError
        If that is the answer.
    """
    reply = json.loads(message)
    if "error" in reply:
        raise SourceError(**reply["error"])
    fields = reply["composite"]
    grid = GRIDS[fields["grid"]]
    part = fill_in_order(shared)
    return Composite(
        quantity=fields["quantity"],
        era=fields["era"],
        odim_version=fields["odim_version"],
        grid=grid,
        time=datetime.fromisoformat(fields["time"]),
        window=(
            datetime.fromisoformat(fields["window"][0]),
            datetime.fromisoformat(fields["window"][1]),
        ),
        values=part(grid.shape).copy(),
        quality=part(grid.shape).copy() if fields["has_quality"] else None,
        source=fields["source"],
        radars=tuple(fields["radars"]),
        not_finite=fields["not_finite"],
        z_r=fields["z_r"] and (fields["z_r"][0], fields["z_r"][1]),
    )
