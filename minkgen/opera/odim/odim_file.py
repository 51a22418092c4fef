"""Access to the attributes and arrays of an ODIM_H5 file that nobody has checked yet.

Nothing is taken on trust: links that lead elsewhere are not followed, attributes must be single
numbers or single printable texts, and whatever the HDF5 library finds wrong becomes a SourceError
that names the file and the place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np

from minkgen.errors import SourceError

__all__ = ["OdimFile", "hdf5_errors", "open_odim_file"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# The longest text in real files is a roster of 1,530 characters; everything else is below 100.
LONGEST_TEXT = 20_000
# OPERA has exchanged data since 1999; the other end is within what nanoseconds can count.
YEARS = range(1999, 2200)
_LONGEST_EXCERPT, _LONGEST_MESSAGE = 100, 300


class OdimFile:
    """An open file, whose attributes are found by name and the places where they may stand.

    Parameters
    ----------
    path : Path
        For the errors.
    root : h5py.File
    """

    def __init__(self, path: Path, root: h5py.File) -> None:
        self.path = path
        self._root = root
        self._found: dict[str, h5py.Group | h5py.Dataset | None] = {"/": root}

    def has_group(self, place: str) -> bool:
        """Return whether there is a group of this name."""
        return isinstance(self._object(place), h5py.Group)

    def has(self, name: str, *places: str) -> bool:
        """Return whether one of the places has the attribute."""
        return self._holder(name, places) is not None

    def text(self, name: str, *places: str) -> str:
        """Return a text attribute of printable ASCII characters."""
        value = self._attribute(name, places)
        if not isinstance(value, str):
            raise self._malformed(name, repr(value), "text")
        if len(value) > LONGEST_TEXT or not (value.isascii() and value.isprintable()):
            raise self._malformed(name, repr(value), f"at most {LONGEST_TEXT} printable characters")
        return value

    def number(self, name: str, *places: str) -> float:
        """Return a finite number."""
        value = self._attribute(name, places)
        if not isinstance(value, float) or not np.isfinite(value):
            raise self._malformed(name, repr(value), "one finite number")
        return value

    def integer(self, name: str, *places: str) -> int:
        """Return a whole number."""
        value = self.number(name, *places)
        if not value.is_integer():
            raise self._malformed(name, repr(value), "a whole number")
        return int(value)

    def time(self, date_name: str, time_name: str, *places: str) -> datetime:
        """Return a point in time from two attributes."""
        text = f"{self.text(date_name, *places)} {self.text(time_name, *places)}"
        names = f"{date_name} {time_name}"
        expected = f"YYYYMMDD and HHMMSS from {YEARS[0]} to {YEARS[-1]}"
        # strptime alone takes single digits, too.
        if re.fullmatch("[0-9]{8} [0-9]{6}", text) is None or int(text[:4]) not in YEARS:
            raise self._malformed(names, repr(text), expected)
        try:
            return datetime.strptime(text, "%Y%m%d %H%M%S").replace(tzinfo=UTC)
        except ValueError as error:
            raise self._malformed(names, repr(text), expected) from error

    def dataset(self, place: str) -> h5py.Dataset:
        """Return an array without having read it."""
        found = self._object(place)
        if not isinstance(found, h5py.Dataset):
            raise SourceError("an array is missing", where=self.path, expected=f"/{place}")
        return found

    def _holder(self, name: str, places: tuple[str, ...]) -> h5py.Group | None:
        """Return the group of the first place that has the attribute."""
        for place in places:
            group = self._object(place)
            if isinstance(group, h5py.Group):
                with hdf5_errors(self.path):
                    has_it = name in group.attrs
                if has_it:
                    return group
        return None

    def _attribute(self, name: str, places: tuple[str, ...]) -> str | float:
        """Return the attribute from the first place that has it."""
        group = self._holder(name, places)
        if group is None:
            raise SourceError(
                "an attribute is missing",
                where=self.path,
                got=f"no {name!r}",
                expected=" or ".join(f"/{place.strip('/')}" for place in places),
            )
        with hdf5_errors(self.path):
            attribute = group.attrs.get_id(name)
            kind = attribute.get_type()
            # What else there is (arrays, references, compounds) is not even read.
            if attribute.get_space().get_simple_extent_type() == h5py.h5s.SCALAR:
                if isinstance(kind, h5py.h5t.TypeIntegerID | h5py.h5t.TypeFloatID):
                    return float(group.attrs[name])
                if isinstance(kind, h5py.h5t.TypeStringID):
                    value = group.attrs[name]
                    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
            described = f"an HDF5 {type(kind).__name__} of shape {attribute.shape}"
        raise self._malformed(name, described, "one number or one text")

    def _object(self, place: str) -> h5py.Group | h5py.Dataset | None:
        """Return what stands at a place, reached by hard links alone; None where nothing does."""
        if place not in self._found:
            parent, _, name = place.rpartition("/")
            group = self._object(parent or "/")
            self._found[place] = (
                self._child(group, name, place) if isinstance(group, h5py.Group) else None
            )
        return self._found[place]

    def _child(self, group: h5py.Group, name: str, place: str) -> h5py.Group | h5py.Dataset | None:
        with hdf5_errors(self.path):
            link = group.get(name, getlink=True)
            if link is None:
                return None
            if isinstance(link, h5py.HardLink):
                return group[name]
        raise SourceError(
            "a link leads elsewhere",
            where=f"{self.path}:/{place}",
            got=type(link).__name__,
            expected="a group or an array of this very file",
        )

    def _malformed(self, name: str, got: str, expected: str) -> SourceError:
        return SourceError(
            f"the attribute {name!r} is malformed",
            where=self.path,
            got=got[:_LONGEST_EXCERPT],
            expected=expected,
        )


@contextmanager
def open_odim_file(path: Path) -> Iterator[OdimFile]:
    """Open a file for the length of a `with` block.

    Raises
    ------
    SourceError
        If there is none, or if it is no HDF5 file.
    """
    try:
        with path.open("rb") as stream:
            signature = stream.read(len(_SIGNATURE))
    except OSError as error:
        raise SourceError(
            "the file cannot be read",
            where=path,
            got=error,
            hint="look at its path, and whether you may read it",
        ) from error
    if signature != _SIGNATURE:
        raise SourceError(
            "the file is not HDF5",
            where=path,
            got=f"it begins with {signature!r}",
            expected="HDF5",
            hint="fetch it again: it may be an error page, or have been cut off",
        )
    with hdf5_errors(path):
        root = h5py.File(path, "r")
    with root:
        yield OdimFile(path, root)


@contextmanager
def hdf5_errors(path: Path) -> Iterator[None]:
    """Turn what the HDF5 library finds wrong with a file into a SourceError.

    h5py passes errors of the library on as whichever builtin fits best, hence the long list; only
    calls of the library belong into this block.
    """
    try:
        yield
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, OverflowError) as error:
        raise SourceError(
            "the HDF5 file is damaged",
            where=path,
            got=str(error)[:_LONGEST_MESSAGE],
            hint="fetch it again; if it stays so, the upstream copy is damaged",
        ) from error
