"""Files of one's own rain fields: found by path, pattern or URL, and opened by xarray.

NetCDF files are read by h5netcdf in this process: they are the user's own, and are trusted not to
be made to harm (OPERA's files, which come from servers, are decoded in a child process).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import glob, has_magic
from pathlib import Path

import xarray as xr

from minkgen.errors import SourceError

__all__ = ["READING_ERRORS", "find_files", "open_file"]

# What xarray, h5netcdf, zarr and fsspec raise over files that are not what they should be.
READING_ERRORS = (OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError, ImportError)
_HDF5, _CLASSIC = b"\x89HDF\r\n\x1a\n", b"CDF"


def find_files(places: Sequence[str]) -> tuple[str, ...]:
    """Return the files, folders and URLs that paths, patterns and URLs stand for, each once.

    Parameters
    ----------
    places : sequence of str
        Patterns are those of a shell: `rain-*.nc`, `**/rain.nc`.

    Returns
    -------
    tuple of str
        Absolute paths in order, and URLs as they are.

    Raises
    ------
    SourceError
        If one stands for nothing.
    """
    found: list[str] = []
    for place in places:
        if "://" in place:
            found.append(place.rstrip("/"))
            continue
        exact = Path(place).exists() or not has_magic(place)
        paths = [place] if exact else sorted(glob(place, recursive=True))
        if not paths or not Path(paths[0]).exists():
            raise SourceError(
                "there is no such file of rain fields",
                where=place,
                got="no file fits the pattern" if has_magic(place) else "nothing there",
                expected="a NetCDF file, a pattern of such files, or a Zarr hierarchy",
                hint="mend source.path in the recipe; relative paths begin at the working folder, "
                f"{Path.cwd()}",
            )
        found += [str(Path(path).absolute()) for path in paths]
    return tuple(dict.fromkeys(found))


@contextmanager
def open_file(place: str) -> Iterator[xr.Dataset]:
    """Open a NetCDF file or a Zarr hierarchy; nothing but coordinates is read before it is used.

    Raises
    ------
    SourceError
        If it cannot be opened.
    """
    try:
        dataset = _opened(place)
    except READING_ERRORS as error:
        raise SourceError(
            "the rain fields cannot be opened",
            where=place,
            got=f"{type(error).__name__}: {error}",
            expected="NetCDF-4 or Zarr that `xarray.open_dataset` opens, with CF times of the "
            "standard calendar",
            hint="open it with xarray yourself to see more; `s3://` needs minkgen[remote]",
        ) from error
    with dataset:
        yield dataset


def _opened(place: str) -> xr.Dataset:
    if "://" in place or Path(place).is_dir():
        with warnings.catch_warnings():
            # Hierarchies without consolidated metadata are as good.
            warnings.filterwarnings("ignore", "Failed to open Zarr store", RuntimeWarning)
            # chunks=None: fields are read one after the other, without Dask.
            zarr: xr.Dataset = xr.open_zarr(place, chunks=None, decode_timedelta=False)
        return zarr
    with Path(place).open("rb") as stream:
        begins = stream.read(len(_HDF5))
    if begins.startswith(_CLASSIC):
        raise SourceError(
            "the file is in NetCDF's classic format",
            where=place,
            expected="NetCDF-4",
            hint=f"convert it: nccopy -k nc4 {Path(place).name} converted.nc",
        )
    return xr.open_dataset(place, engine="h5netcdf", cache=False, decode_timedelta=False)
