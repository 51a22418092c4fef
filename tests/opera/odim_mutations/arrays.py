"""Files that must be refused for an array or a chunk of it."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import h5py
import numpy as np

from tests.opera.odim_mutations.common import (
    DATA,
    chunk_offsets,
    mutation,
    pick,
    replace,
    rewrite,
    some_group,
)


@mutation("refused")
def other_shape(file: h5py.File, rng: np.random.Generator) -> None:
    group = some_group(file, rng)
    shape = pick(rng, [(512, 641), (640, 512), (512,), (1, 512, 640), (512, 640, 1), (0, 640), ()])
    rewrite(file, group, np.zeros(shape))


@mutation("refused")
def huge_shape(file: h5py.File, rng: np.random.Generator) -> None:
    group = some_group(file, rng)
    del file[group]["data"]
    how = pick(rng, [{"chunks": (1000, 1000)}, {"chunks": (20_000, 20_000)}, {}])
    file[group].create_dataset("data", (10**6, 10**6), "f8", **how)


@mutation("refused")
def declared_shape_is_huge(file: h5py.File, rng: np.random.Generator) -> None:
    huge_shape(file, rng)
    replace(file["where"], "xsize", np.int64(10**6))
    replace(file["where"], "ysize", np.int64(10**6))


@mutation("refused")
def values_that_are_no_numbers(file: h5py.File, rng: np.random.Generator) -> None:
    group = some_group(file, rng)
    kind = pick(
        rng,
        [
            "i8",
            "u8",
            "f2",
            "g",
            "c16",
            "?",
            "S4",
            "V8",
            "i4,f4",
            "2f4",
            h5py.string_dtype(),
            h5py.ref_dtype,
            h5py.regionref_dtype,
            h5py.enum_dtype({"DRY": 0, "WET": 1}),
            h5py.vlen_dtype("f8"),
        ],
    )
    del file[group]["data"]
    file[group].create_dataset("data", (512, 640), kind, chunks=(512, 640))


@mutation("refused")
def numbers_of_another_make(file: h5py.File, rng: np.random.Generator) -> None:
    """Numbers that only HDF5 knows how to read: of another exponent bias, or of fewer bits."""
    group = some_group(file, rng)
    if rng.random() < 0.5:
        kind = h5py.h5t.IEEE_F64LE.copy()
        kind.set_ebias(int(rng.integers(1, 1000)))
    else:
        kind = pick(rng, [h5py.h5t.STD_I32LE, h5py.h5t.STD_U32BE]).copy()
        kind.set_precision(24)
        kind.set_offset(int(rng.integers(9)))
    values = np.nan_to_num(file[group]["data"][...])
    del file[group]["data"]
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((512, 640))
    space = h5py.h5s.create_simple((512, 640))
    made = h5py.h5d.create(file[group].id, b"data", kind, space, settings)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, values.astype("f8"))


@mutation("refused")
def other_layout(file: h5py.File, rng: np.random.Generator) -> None:
    """Contiguous, virtual, in another file, never written."""
    group = some_group(file, rng)
    kind = pick(rng, ["contiguous", "virtual", "external", "empty"])
    values = file[group]["data"][...]
    if kind == "contiguous":
        rewrite(file, group, values)
        return
    del file[group]["data"]
    if kind == "virtual":
        layout = h5py.VirtualLayout((512, 640), "f8")
        layout[...] = h5py.VirtualSource(file.filename + ".other", f"{DATA}/data", (512, 640))
        file[group].create_virtual_dataset("data", layout)
    elif kind == "external":
        path = file.filename + ".raw"
        file[group].create_dataset("data", (512, 640), "f8", external=[(path, 0, 512 * 640 * 8)])
    else:
        file[group].create_dataset("data", (512, 640), "f8", chunks=(64, 64), compression="gzip")


@mutation("refused")
def other_filters(file: h5py.File, rng: np.random.Generator) -> None:
    group = some_group(file, rng)
    values = np.nan_to_num(file[group]["data"][...])
    how = pick(
        rng,
        [
            {"compression": "lzf"},
            {"compression": "gzip", "shuffle": True},
            {"compression": "gzip", "fletcher32": True},
            {"shuffle": True},
        ],
    )
    rewrite(file, group, values, chunks=(128, 128), **how)


@mutation("refused")
def absurd_chunks(file: h5py.File, rng: np.random.Generator) -> None:
    """Chunks far larger than the array, or too many of them."""
    group = some_group(file, rng)
    chunk = pick(rng, [(20_000, 20_000), (512, 641), (4096, 4096), (1, 1), (1, 13)])
    del file[group]["data"]
    file[group].create_dataset(
        "data", (512, 640), "f8", chunks=chunk, maxshape=(None, None), compression="gzip"
    )


@mutation("refused")
def chunk_never_written(file: h5py.File, rng: np.random.Generator) -> None:
    """HDF5 reads its fill value there, 0.0: dry weather out of nothing."""
    group = some_group(file, rng)
    values = file[group]["data"][...]
    del file[group]["data"]
    data = file[group].create_dataset("data", (512, 640), "f8", chunks=(128, 128), compression=1)
    missing = int(rng.integers(20))
    for number, (row, column) in enumerate(
        (r, c) for r in range(0, 512, 128) for c in range(0, 640, 128)
    ):
        if number != missing:
            data[row : row + 128, column : column + 128] = values[
                row : row + 128, column : column + 128
            ]


def replace_chunk(
    file: h5py.File, rng: np.random.Generator, change: Callable[[bytes, bytes], bytes]
) -> None:
    """Replace the stored bytes of a chunk by a function of its content and of themselves."""
    group = some_group(file, rng)
    data = file[group]["data"]
    if data.compression != "gzip":
        rewrite(file, group, data[...], chunks=(128, 128), compression=1)
        data = file[group]["data"]
    places = chunk_offsets(file, group)
    for place in rng.permutation(places):
        mask, stored = data.id.read_direct_chunk(tuple(place))
        if mask == 0:
            data.id.write_direct_chunk(tuple(place), change(zlib.decompress(stored), stored), 0)
            return


@mutation("read or refused")
def chunk_with_a_bit_flipped(file: h5py.File, rng: np.random.Generator) -> None:
    """Few bits have no consequence: paddings, say, or which of two dry places is repeated."""

    def flip(content: bytes, stored: bytes) -> bytes:
        flipped = bytearray(stored)
        flipped[int(rng.integers(len(stored)))] ^= 1 << int(rng.integers(8))
        return bytes(flipped)

    replace_chunk(file, rng, flip)


@mutation("refused")
def chunk_cut_short(file: h5py.File, rng: np.random.Generator) -> None:
    """Of the last four bytes, the check sum, no pixel depends."""
    lost = int(pick(rng, [1, 2, 4, 5, rng.integers(6, 60)]))
    replace_chunk(file, rng, lambda content, stored: stored[:-lost])


@mutation("refused")
def chunk_of_another_length(file: h5py.File, rng: np.random.Generator) -> None:
    how = int(rng.integers(4))
    replace_chunk(
        file,
        rng,
        lambda content, stored: (
            zlib.compress(content[:-8]),
            zlib.compress(content + bytes(8)),
            zlib.compress(b""),
            stored + b"\x00",
        )[how],
    )


@mutation("refused")
def chunk_of_noise(file: h5py.File, rng: np.random.Generator) -> None:
    how = int(rng.integers(4))
    replace_chunk(
        file,
        rng,
        lambda content, stored: (rng.bytes(len(stored)), content, b"\x78", bytes(999))[how],
    )


@mutation("refused")
def chunk_without_end(file: h5py.File, rng: np.random.Generator) -> None:
    """The beginning of a stream that inflates to gigabytes, in a thousandth of them."""
    packer = zlib.compressobj(9)
    head = packer.compress(b"") + packer.flush(zlib.Z_SYNC_FLUSH)
    megabyte = packer.compress(bytes(10**6)) + packer.flush(zlib.Z_FULL_FLUSH)
    megabytes = int(rng.integers(200, 4000))
    replace_chunk(file, rng, lambda content, stored: head + megabytes * megabyte)
