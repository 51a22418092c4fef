"""Changes after which a file is still to be read, as its new content says."""

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
    chunk_offsets,
    description,
    is_odyssey,
    mutation,
    pick,
    quality_description,
    quality_group,
    replace,
    rewrite,
    some_group,
    text_of,
)


@mutation("read")
def nothing(file: h5py.File, rng: np.random.Generator) -> None:
    pass


@mutation("read")
def foreign_attributes(file: h5py.File, rng: np.random.Generator) -> None:
    group = pick(rng, ["/", "what", "where", "how", "dataset1", f"{DATA}/data"])
    values = [1.5, "text", np.arange(40), file["what"].ref, np.zeros(2, "i4,f8"), h5py.Empty("f8")]
    for number in range(3):
        file[group].attrs[f"foreign{number}"] = pick(rng, values)


@mutation("read")
def foreign_groups(file: h5py.File, rng: np.random.Generator) -> None:
    group = file.require_group(pick(rng, ["dataset3/data1", f"{DATA}/quality2", "dataset1/data2"]))
    if "data" not in group:
        group["data"] = rng.integers(0, 9, (7, 5))
    if file.get("elsewhere", getlink=True) is None:
        file["elsewhere"] = h5py.ExternalLink("no_such_file.h5", "/")


@mutation("read")
def description_at_both_levels(file: h5py.File, rng: np.random.Generator) -> None:
    """The description at the data's own level counts."""
    own = dict(description(file).attrs)
    inner = file.require_group(f"{DATA}/what")
    for name in ("quantity", "gain", "offset", *STATES):
        replace(inner, name, own[name])
        replace(file["dataset1/what"], name, pick(rng, [7.0, "VRAD", np.arange(3)]))


@mutation("read")
def description_at_the_other_level(file: h5py.File, rng: np.random.Generator) -> None:
    inner = file.require_group(f"{DATA}/what")
    here, there = (inner, file["dataset1/what"])
    if "gain" not in here.attrs:
        here, there = there, here
    for name in ("quantity", "gain", "offset", *STATES):
        replace(there, name, here.attrs[name])
        del here.attrs[name]


@mutation("read")
def numbers_of_other_types(file: h5py.File, rng: np.random.Generator) -> None:
    choices: list[tuple[Any, str, list[type]]] = [
        (description(file), "gain", [np.int8, np.uint64, np.float32, np.float16]),
        (description(file), "offset", [np.int16, np.uint8, np.float32]),
        (description(file), "nodata", [np.int32, np.int64, np.float32]),
        (description(file), "undetect", [np.int32, np.int64, np.float32]),
        (file["where"], "xsize", [np.int16, np.uint32, np.float64, np.float32]),
        (file["where"], "yscale", [np.int16, np.uint32, np.float32]),
    ]
    for target, name, kinds in choices:
        value = target.attrs[name]
        if isinstance(value, np.number):
            replace(target, name, pick(rng, kinds)(value))


@mutation("read")
def texts_of_other_types(file: h5py.File, rng: np.random.Generator) -> None:
    for _ in range(4):
        target, name = choose_required(file, rng, text=True)
        text = text_of(target.attrs[name])
        kinds = [
            h5py.string_dtype("utf-8"),
            h5py.string_dtype("ascii"),
            f"S{len(text)}",
            f"S{len(text) + 20}",
        ]
        replace(target, name, text, dtype=pick(rng, kinds))


@mutation("read")
def other_values(file: h5py.File, rng: np.random.Generator) -> None:
    extremes = [
        np.inf,
        -np.inf,
        np.nan,
        1e300,
        -1e300,
        NODATA,
        UNDETECT,
        3.5e38,
        1e-310,
        -0.0,
        -5.0,
    ]
    for group in (DATA, quality_group(file)):
        if group not in file:
            continue
        data = file[group]["data"]
        if data.dtype.kind == "f":
            values = data[...]
            places = rng.integers(0, values.size, 500)
            with np.errstate(over="ignore"):
                values.reshape(-1)[places] = rng.choice([*extremes, 12.34, 364.63], 500)
            data[...] = values


@mutation("read")
def another_quantity(file: h5py.File, rng: np.random.Generator) -> None:
    replace(description(file), "quantity", pick(rng, ["ACRR", "DBZH"]))


@mutation("read")
def other_chunks(file: h5py.File, rng: np.random.Generator) -> None:
    group = some_group(file, rng)
    values = file[group]["data"][...]
    height, width = values.shape
    chunk = pick(rng, [(height, width), (64, 64), (1, width), (height, 3), (100, 333)])
    how = pick(rng, [{"compression": "gzip", "compression_opts": 1}, {}])
    rewrite(file, group, values, chunks=chunk, **how)


@mutation("read")
def other_numbers(file: h5py.File, rng: np.random.Generator) -> None:
    """All types that float64 holds exactly; values that do not fit wrap, as they may."""
    group = some_group(file, rng)
    values = np.nan_to_num(file[group]["data"][...])
    kind = pick(rng, ["<f4", ">f4", ">f8", "<i4", ">i4", "<u4", "<i2", ">u2", "i1", "u1"])
    with np.errstate(over="ignore", invalid="ignore"):
        rewrite(file, group, values.astype("i8").astype(kind), chunks=(128, 128), compression=1)


@mutation("read")
def chunks_swapped(file: h5py.File, rng: np.random.Generator) -> None:
    group = some_group(file, rng)
    data = file[group]["data"].id
    one, other = (pick(rng, chunk_offsets(file, group)) for _ in range(2))
    contents = {place: data.read_direct_chunk(place) for place in (one, other)}
    data.write_direct_chunk(one, contents[other][1], contents[other][0])
    data.write_direct_chunk(other, contents[one][1], contents[one][0])


@mutation("read")
def chunk_that_skipped_its_filter(file: h5py.File, rng: np.random.Generator) -> None:
    """HDF5 itself stores a chunk so that does not compress."""
    group = some_group(file, rng)
    data = file[group]["data"]
    shape = data.chunks
    content = rng.integers(0, 100, shape).astype(data.dtype).tobytes()
    data.id.write_direct_chunk(pick(rng, chunk_offsets(file, group)), content, 1)


@mutation("read")
def another_roster(file: h5py.File, rng: np.random.Generator) -> None:
    nodes = [f"zz{letters}" for letters in ("abc", "xyz", "abc", "qqq")]
    spelling = pick(rng, ["NOD:{}", "'{}'", "{}", " {} "])
    replace(file["how"], "nodes", pick(rng, [",", ", "]).join(map(spelling.format, nodes)))


@mutation("read")
def no_roster(file: h5py.File, rng: np.random.Generator) -> None:
    if "how" in file:
        del file["how"]
        if rng.random() < 0.5:
            file.create_group("how")


@mutation("read")
def no_quality(file: h5py.File, rng: np.random.Generator) -> None:
    del file["dataset2" if is_odyssey(file) else f"{DATA}/quality1"]


@mutation("read")
def quality_with_all_states(file: h5py.File, rng: np.random.Generator) -> None:
    target = quality_description(file)
    replace(target, "nodata", NODATA)
    replace(target, "undetect", UNDETECT)
    data = file[quality_group(file)]["data"]
    if data.dtype.kind == "f":
        data[3, :50], data[4, :50] = NODATA, UNDETECT


@mutation("read")
def another_window(file: h5py.File, rng: np.random.Generator) -> None:
    what = file["dataset1/what"]
    replace(what, "startdate", "20240701")
    replace(what, "starttime", f"{int(rng.integers(0, 12)):02d}{int(rng.integers(60)):02d}59")
    replace(what, "enddate", "20240701")
    replace(what, "endtime", f"{int(rng.integers(12, 24)):02d}{int(rng.integers(60)):02d}00")


@mutation("read")
def another_time(file: h5py.File, rng: np.random.Generator) -> None:
    replace(file["what"], "time", f"{int(rng.integers(24)):02d}{int(rng.integers(60)):02d}00")
