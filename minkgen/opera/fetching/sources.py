"""What every source of composites offers: a listing of a day, and the files it names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

from minkgen.opera.keys import PRODUCT_NAMES, ArchiveKey

__all__ = ["Fetched", "Listed", "Source", "choose_by_time"]


@dataclass(frozen=True)
class Listed:
    """A file that a source says it has.

    Attributes
    ----------
    key : ArchiveKey
        Its nominal time and product name.
    url : str
        Where it lies.
    size : int, optional
        Its length in bytes, where the listing can be trusted to know it.
    etag : str, optional
        Its strong entity tag, with the quotes, where the listing gives one.
    """

    key: ArchiveKey
    url: str
    size: int | None = None
    etag: str | None = None


@dataclass(frozen=True)
class Fetched:
    """A file that is here now, whole as far as its length tells.

    Attributes
    ----------
    path : Path
        Where it lies.
    size : int
        Its length in bytes.
    sha256 : str
        Its digest in hexadecimal.
    etag : str, optional
        The strong entity tag it was served with.
    temporary : bool
        Whether the file was made for the caller, who then has to rename or remove it.
    """

    path: Path
    size: int
    sha256: str
    etag: str | None
    temporary: bool


class Source(Protocol):
    """Where composites come from. Sources are frozen and travel to the workers by pickling."""

    def check(self) -> None:
        """Refuse a source that cannot be used, before any work is planned on it."""

    def list_day(self, day: date, quantity: str = "RATE") -> dict[datetime, Listed]:
        """Return the files of a UTC day by nominal time.

        Raises
        ------
        TransferError, SourceError
            If the listing could not be had or not be understood; that is no empty day.
        """

    def can_tell_absence(self, time: datetime) -> bool:
        """Return whether a time that a listing lacks is known to be absent upstream.

        False for times that the source does not hold whatever was measured: a composite missing
        there may well lie in another source.
        """

    def fetch(self, listed: Listed, folder: Path) -> Fetched:
        """Bring a listed file here, if need be as a temporary file in a folder that is there.

        Raises
        ------
        TransferError, SourceError
            If the file could not be had, or is not what was listed.
        """


def choose_by_time(files: Iterable[Listed], day: date, quantity: str) -> dict[datetime, Listed]:
    """Return one file per nominal time: those of a day and a quantity.

    Where a time has a file under both names of a product (the hours of an era switch), the younger
    name is taken. Among files of one name the first is taken.

    Parameters
    ----------
    files : iterable of Listed
        In order of preference.
    day : date
        UTC day.
    quantity : str
        ODIM quantity.

    Returns
    -------
    dict of datetime to Listed
    """
    names = PRODUCT_NAMES[quantity]
    chosen: dict[datetime, Listed] = {}
    for listed in files:
        key = listed.key
        if key.product_name not in names or key.time.date() != day:
            continue
        known = chosen.get(key.time)
        if known is None or _rank(known, names) < _rank(listed, names):
            chosen[key.time] = listed
    return chosen


def _rank(listed: Listed, names: tuple[str, ...]) -> int:
    return names.index(listed.key.product_name)
