"""The register of mutations, and what they share.

A mutation is a function of an open file and a random generator, so that its cases are many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import h5py
import numpy as np

# As its new content says; never; either way, but never otherwise.
Fate = Literal["read", "refused", "read or refused"]
Change = Callable[[h5py.File, np.random.Generator], None]

DATA = "dataset1/data1"
NODATA, UNDETECT = -9999000.0, -8888000.0
STATES = ("nodata", "undetect")


@dataclass(frozen=True)
class Mutation:
    change: Change
    fate: Fate


MUTATIONS: dict[str, Mutation] = {}


def mutation(fate: Fate) -> Callable[[Change], Change]:
    def register(change: Change) -> Change:
        MUTATIONS[change.__name__] = Mutation(change, fate)
        return change

    return register


def is_odyssey(file: h5py.File) -> bool:
    return "dataset2" in file


def quality_group(file: h5py.File) -> str:
    return "dataset2/data1" if is_odyssey(file) else f"{DATA}/quality1"


def description(file: h5py.File) -> Any:
    """Return the group that describes the data: of the inner ones, the one that counts."""
    inner = file.get(f"{DATA}/what")
    return inner if inner is not None and "gain" in inner.attrs else file["dataset1/what"]


def quality_description(file: h5py.File) -> Any:
    return file["dataset2/what" if is_odyssey(file) else f"{DATA}/quality1/what"]


def pick(rng: np.random.Generator, options: Any) -> Any:
    return options[int(rng.integers(len(options)))]


def replace(target: Any, name: str, value: Any, **how: Any) -> None:
    if name in target.attrs:
        del target.attrs[name]
    target.attrs.create(name, value, **how)


# Attributes that every file must have, and where.
def required(file: h5py.File) -> list[tuple[Any, str]]:
    corners = [f"{corner}_{axis}" for corner in ("UL", "UR", "LL", "LR") for axis in ("lon", "lat")]
    window = ["startdate", "starttime", "enddate", "endtime"]
    scaling = ["gain", "offset"]
    states = STATES if is_odyssey(file) else ()
    return [
        (file, "Conventions"),
        *((file["what"], name) for name in ("object", "date", "time", "source")),
        *((file["where"], name) for name in ("xsize", "ysize", "xscale", "yscale", "projdef")),
        *((file["where"], name) for name in corners),
        *((file["dataset1/what"], name) for name in window),
        *((description(file), name) for name in ("quantity", *scaling, *STATES)),
        *((quality_description(file), name) for name in (*scaling, *states)),
    ]


def text_of(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def is_text(target: Any, name: str) -> bool:
    return isinstance(target.attrs.get_id(name).get_type(), h5py.h5t.TypeStringID)


def choose_required(
    file: h5py.File, rng: np.random.Generator, *, text: bool | None = None
) -> tuple[Any, str]:
    choices = [
        (target, name)
        for target, name in required(file)
        if text is None or is_text(target, name) == text
    ]
    return pick(rng, choices)


def rewrite(file: h5py.File, group: str, values: Any, **how: Any) -> None:
    del file[group]["data"]
    file[group].create_dataset("data", data=values, **how)


def some_group(file: h5py.File, rng: np.random.Generator) -> str:
    groups = [DATA, quality_group(file)]
    return str(pick(rng, [group for group in groups if group in file]))


def chunk_offsets(file: h5py.File, group: str) -> list[tuple[int, int]]:
    infos: list[Any] = []
    file[group]["data"].id.chunk_iter(infos.append)
    return [info.chunk_offset for info in infos]
