"""Files that must be refused for an attribute, a group or a link."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from tests.opera.odim_mutations.common import (
    DATA,
    NODATA,
    STATES,
    UNDETECT,
    choose_required,
    description,
    mutation,
    pick,
    quality_description,
    quality_group,
    replace,
    text_of,
)


@mutation("refused")
def data_scaled_otherwise(file: h5py.File, rng: np.random.Generator) -> None:
    name = pick(rng, ["gain", "offset", *STATES])
    value = file_value = float(description(file).attrs[name])
    while value == file_value:
        value = pick(
            rng, [0.0, -1.0, 0.5, 255.0, NODATA, UNDETECT, -9999.0, file_value * 1.001 + 1e-9]
        )
    replace(description(file), name, value)


@mutation("refused")
def quality_scaled_otherwise(file: h5py.File, rng: np.random.Generator) -> None:
    name, known = pick(rng, [("gain", 1.0), ("offset", 0.0), ("nodata", NODATA)])
    value = known
    while value == known:
        value = pick(rng, [0.0, -1.0, 1.0 / 255.0, UNDETECT, known * 1.001 + 1e-9])
    replace(quality_description(file), name, value)


@mutation("refused")
def attribute_missing(file: h5py.File, rng: np.random.Generator) -> None:
    target, name = choose_required(file, rng)
    del target.attrs[name]


@mutation("refused")
def attribute_in_brackets(file: h5py.File, rng: np.random.Generator) -> None:
    target, name = choose_required(file, rng)
    if rng.random() < 0.3:
        target, name = file["what"], "source"
    value = target.attrs[name]
    value = value.encode() if isinstance(value, str) else value
    replace(target, name, np.full(pick(rng, [(1,), (1, 1)]), value))


@mutation("refused")
def attribute_of_many_values(file: h5py.File, rng: np.random.Generator) -> None:
    target, name = choose_required(file, rng)
    value = target.attrs[name]
    value = value.encode() if isinstance(value, str) else value
    shape = pick(rng, [(2,), (0,), (500,)])
    replace(target, name, np.full(shape, value))


@mutation("refused")
def number_that_is_something_else(file: h5py.File, rng: np.random.Generator) -> None:
    target, name = choose_required(file, rng, text=False)
    others: list[Any] = [
        "1.0",
        b"1.0",
        np.nan,
        np.inf,
        -np.inf,
        np.True_,
        1.0 + 0.0j,
        np.array((1, 2.0), "i4,f8"),
        file["what"].ref,
        file[DATA]["data"].regionref[:3, :3],
        h5py.Empty("f8"),
        np.void(b"\x00" * 8),
    ]
    replace(target, name, pick(rng, others))


@mutation("refused")
def text_that_is_something_else(file: h5py.File, rng: np.random.Generator) -> None:
    target, name = choose_required(file, rng, text=True)
    others: list[Any] = [
        20240701,
        1.5,
        "",
        "Zürich",
        "20240701\n",
        "x" * 30_000,
        np.bytes_(b"\xff\xfe"),
        file["what"].ref,
        h5py.Empty("S8"),
        np.array(["20240701"], "S8"),
    ]
    if name == "source":
        others.remove("")
    replace(target, name, pick(rng, others))


@mutation("refused")
def absurd_time(file: h5py.File, rng: np.random.Generator) -> None:
    days = ["00000000", "00010101", "18991231", "22500101", "99991231", "20230229", "20241301"]
    days += ["2024071", "202407011", "2024-7-1", " 2240701", "+2240701"]
    times = ["240000", "126000", "121560", "1215", "12150", "12:15:", "-10000"]
    what, name = pick(
        rng,
        [(file["what"], name) for name in ("date", "time")]
        + [
            (file["dataset1/what"], f"{end}{part}")
            for end in ("start", "end")
            for part in ("date", "time")
        ],
    )
    replace(what, name, pick(rng, days if name.endswith("date") else times))


@mutation("refused")
def absurd_year(file: h5py.File, rng: np.random.Generator) -> None:
    """Nominal time and window agree."""
    day = pick(rng, ["00010101", "16770921", "18991231", "19700101", "22620412", "99991231"])
    replace(file["what"], "date", day)
    for name in ("startdate", "enddate"):
        replace(file["dataset1/what"], name, day)


@mutation("refused")
def free_text_that_is_none(file: h5py.File, rng: np.random.Generator) -> None:
    """These two attributes may hold any text."""
    target, name = pick(rng, [(file["what"], "source"), (file.require_group("how"), "nodes")])
    others = ["ORG:247,CMT:Zürich", "ORG\n247", "ORG\x1b[31m", "x" * 30_000, np.bytes_(b"\xff\xfe")]
    replace(target, name, pick(rng, others))


@mutation("refused")
def window_far_away(file: h5py.File, rng: np.random.Generator) -> None:
    name, day = pick(
        rng, [("startdate", "20240629"), ("startdate", "20240702"), ("enddate", "20240703")]
    )
    replace(file["dataset1/what"], name, day)


@mutation("refused")
def other_conventions(file: h5py.File, rng: np.random.Generator) -> None:
    others = [
        "CF-1.8",
        "ODIM_H5/V1_0",
        "ODIM_H5/V2_5",
        "ODIM_H5/V2_40",
        "ODIM_H5/V2.4",
        "odim_h5/v2_4",
    ]
    replace(file, "Conventions", pick(rng, others))


@mutation("refused")
def other_product(file: h5py.File, rng: np.random.Generator) -> None:
    target, name = pick(rng, [(file["what"], "object"), (description(file), "quantity")])
    replace(target, name, pick(rng, ["PVOL", "SCAN", "QIND", "VRAD", "TH", "rate", "RATE "]))


@mutation("refused")
def other_geometry(file: h5py.File, rng: np.random.Generator) -> None:
    where = file["where"]
    name = pick(
        rng,
        [
            *(name for name in where.attrs if name[:2] in ("UL", "UR", "LL", "LR")),
            "xscale",
            "yscale",
            "xsize",
            "ysize",
            "projdef",
        ],
    )
    if name == "projdef":
        others = ["", "+proj=merc", "+proj=laea +lat_0=nan", text_of(where.attrs[name]) + " +over"]
        replace(where, name, pick(rng, others))
    elif "size" in name:
        replace(where, name, pick(rng, [0, -1, 10**6, 2**62, 511, 640.5, 1e300]))
    else:
        replace(where, name, float(where.attrs[name]) + pick(rng, [0.01, -0.01, 90.0, 1e300]))


NEEDED_GROUPS = ("what", "where", "dataset1", "dataset1/what", DATA, f"{DATA}/data")


@mutation("refused")
def group_missing(file: h5py.File, rng: np.random.Generator) -> None:
    del file[pick(rng, NEEDED_GROUPS)]


@mutation("refused")
def quality_array_missing(file: h5py.File, rng: np.random.Generator) -> None:
    group = quality_group(file)
    del file[group]["data"]


@mutation("refused")
def something_else_in_place_of_a_group(file: h5py.File, rng: np.random.Generator) -> None:
    place = pick(rng, NEEDED_GROUPS)
    del file[place]
    if rng.random() < 0.5:
        file[place] = np.dtype("f8")
    elif place.endswith("data"):
        file.create_group(place)
    else:
        file[place] = np.zeros((3, 3))


@mutation("refused")
def links_elsewhere(file: h5py.File, rng: np.random.Generator) -> None:
    """Even where the link leads to the right thing: nothing says that it always will."""
    place = pick(rng, [*NEEDED_GROUPS, f"{quality_group(file)}/data"])
    kind = pick(rng, ["soft", "dangling", "external", "missing file"])
    if kind == "soft":
        file.move(place, "moved")
        file[place] = h5py.SoftLink("/moved")
        return
    del file[place]
    links = {
        "dangling": h5py.SoftLink("/nowhere"),
        "external": h5py.ExternalLink(file.filename + ".other", place),
        "missing file": h5py.ExternalLink("/nowhere.h5", place),
    }
    file[place] = links[kind]
