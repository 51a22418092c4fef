"""From the stored bytes of an ODIM array to physical values, chunk by chunk.

The chunks are inflated here and not by the HDF5 library: each may give so many bytes and no more, a
chunk that was never written is an error and not dry weather, and its values are converted while
they are in the processor's cache (a whole array at once takes twice as long to convert).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

# Five times as fast as zlib on real files: inflating is nearly all the time that reading takes.
from zlib_ng import zlib_ng

from minkgen.errors import SourceError
from minkgen.opera.odim.odim_file import hdf5_errors

__all__ = ["PRODUCT_SCALING", "Scaling", "decode_array"]

# All numbers of these types are exact as float64; the real files have float64.
_NUMBERS = frozenset(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4)) | {"f4", "f8"}
# Real files have 25 to 512 chunks; one pixel a chunk would take minutes.
_MOST_CHUNKS = 20_000

Slices = tuple[slice, slice]


class Scaling(NamedTuple):
    """How numbers in a file stand for physical values: ODIM's raw * gain + offset.

    Parameters
    ----------
    gain, offset : float
        Physical value of a raw value.
    nodata, undetect : float
        Raw values that say: no coverage; measured, no echo.
    """

    gain: float
    offset: float
    nodata: float
    undetect: float

    def __str__(self) -> str:
        said = {name: value for name, value in self._asdict().items() if not math.isnan(value)}
        return ", ".join(f"{name} {value!r}" for name, value in said.items())


# All four products have it, in all eras (measured).
PRODUCT_SCALING = Scaling(gain=1.0, offset=0.0, nodata=-9_999_000.0, undetect=-8_888_000.0)


def decode_array(
    dataset: h5py.Dataset,
    path: Path,
    scaling: Scaling,
    undetect_value: float,
    values: npt.NDArray[np.float32],
) -> int:
    """Decode an array of a file into physical values.

    Parameters
    ----------
    dataset : h5py.Dataset
        Numbers in chunks, compressed by gzip or not at all.
    path : Path
        The file, for the errors.
    scaling : Scaling
        A `nodata` or `undetect` that is NaN stands nowhere.
    undetect_value : float
        What `undetect` becomes; `nodata` becomes NaN.
    values : ndarray of float32, shape (H, W)
        Filled; its shape is the one the array must have.

    Returns
    -------
    int
        Number of pixels that count as missing because their value is infinite or NaN, or is beyond
        float32; they become NaN.

    Raises
    ------
    SourceError
        If the array is of another shape or kind, or a chunk is damaged or missing.
    """
    _check_declaration(dataset, path, values.shape)
    gzipped = _is_gzipped(dataset, path)
    not_finite = 0
    for place, raw in _chunks(dataset, path, gzipped=gzipped):
        part = values[place]
        not_finite += _convert(raw[: part.shape[0], : part.shape[1]], scaling, undetect_value, part)
    return not_finite


def _convert(
    raw: npt.NDArray[Any],
    scaling: Scaling,
    undetect_value: float,
    values: npt.NDArray[np.float32],
) -> int:
    """Convert a part of an array; return how many of its values are not finite."""
    raw = raw.astype(np.float64, copy=False)
    missing = raw == scaling.nodata
    no_echo = raw == scaling.undetect
    unscaled = scaling.gain == 1.0 and scaling.offset == 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        values[...] = raw if unscaled else raw * scaling.gain + scaling.offset
    finite = np.isfinite(values)
    not_finite = 0
    if not finite.all():
        bad = ~(finite | missing | no_echo)
        values[bad] = np.nan
        not_finite = int(np.count_nonzero(bad))
    np.copyto(values, np.float32(undetect_value), where=no_echo)
    np.copyto(values, np.float32(np.nan), where=missing)
    return not_finite


def _check_declaration(dataset: h5py.Dataset, path: Path, shape: tuple[int, ...]) -> None:
    """Refuse what an array says about itself before a byte of it is read."""
    with hdf5_errors(path):
        stored = dataset.id.get_type()
        plain = isinstance(stored, h5py.h5t.TypeIntegerID | h5py.h5t.TypeFloatID)
        # The chunks are read as they are: an odd number of bits or another bias is not for us.
        plain = plain and stored.dtype.str[1:] in _NUMBERS
        plain = plain and stored.equal(h5py.h5t.py_create(stored.dtype))
        kind = stored.dtype if plain else f"an HDF5 {type(stored).__name__}"
        declared = dataset.shape
    if not plain or declared != shape:
        raise _other_array(
            dataset, path, f"{kind} of shape {declared}", f"numbers of shape {shape}"
        )
    with hdf5_errors(path):
        chunk = dataset.chunks
    if (
        chunk is None
        or any(side > whole for side, whole in zip(chunk, shape, strict=True))
        or math.prod(map(_pieces, shape, chunk)) > _MOST_CHUNKS
    ):
        raise _other_array(
            dataset, path, f"chunks {chunk}", f"at most {_MOST_CHUNKS} chunks within {shape}"
        )


def _is_gzipped(dataset: h5py.Dataset, path: Path) -> bool:
    """Return whether the chunks are compressed; refuse all filters but gzip alone."""
    with hdf5_errors(path):
        settings = dataset.id.get_create_plist()
        filters = [settings.get_filter(index)[0] for index in range(settings.get_nfilters())]
    if filters not in ([], [h5py.h5z.FILTER_DEFLATE]):
        raise _other_array(dataset, path, f"HDF5 filters {filters}", "chunks compressed by gzip")
    return bool(filters)


def _chunks(
    dataset: h5py.Dataset, path: Path, *, gzipped: bool
) -> Iterator[tuple[Slices, npt.NDArray[Any]]]:
    """Yield where each chunk belongs, and its numbers; at the edges a chunk may reach beyond."""
    height, width = dataset.chunks
    size = height * width * dataset.dtype.itemsize
    infos: dict[tuple[int, ...], h5py.h5d.StoreInfo] = {}
    with hdf5_errors(path):
        dataset.id.chunk_iter(lambda info: infos.__setitem__(info.chunk_offset, info))
    rows, columns = (
        range(0, side, step) for side, step in zip(dataset.shape, dataset.chunks, strict=True)
    )
    for row, column in itertools.product(rows, columns):
        info = infos.get((row, column))
        # Bytes that do not compress grow by far less than this factor.
        if info is None or info.size > 2 * size + 1024:
            raise _damaged_chunk(dataset, path, (row, column))
        with hdf5_errors(path):
            skipped_filters, stored = dataset.id.read_direct_chunk((row, column))
        content = _inflate(stored, size) if gzipped and not skipped_filters else stored
        if content is None or len(content) != size:
            raise _damaged_chunk(dataset, path, (row, column))
        numbers = np.frombuffer(content, dataset.dtype).reshape(height, width)
        yield (slice(row, row + height), slice(column, column + width)), numbers


def _inflate(stored: bytes, size: int) -> bytes | None:
    """Return the content of one whole zlib stream that gives no more than `size` bytes."""
    stream = zlib_ng.decompressobj()
    try:
        content: bytes = stream.decompress(stored, size + 1)
    except zlib_ng.error:  # type: ignore[misc]  # an exception, though its stub does not say so
        return None
    return content if stream.eof and not stream.unused_data else None


def _pieces(whole: int, side: int) -> int:
    return -(-whole // side)


def _damaged_chunk(dataset: h5py.Dataset, path: Path, offset: tuple[int, int]) -> SourceError:
    return SourceError(
        "a chunk of an array is damaged or missing",
        where=f"{path}:{dataset.name}",
        got=f"the chunk at row {offset[0]}, column {offset[1]}",
        hint="fetch it again; if it stays so, the upstream copy is damaged",
    )


def _other_array(dataset: h5py.Dataset, path: Path, got: str, expected: str) -> SourceError:
    return SourceError(
        "an array is not what the file should hold",
        where=f"{path}:{dataset.name}",
        got=got,
        expected=expected,
    )
