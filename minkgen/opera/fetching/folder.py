"""Composites in a folder that is laid out like the public archive."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from minkgen.errors import SourceError, TransferError
from minkgen.opera.fetching.sources import Fetched, Listed, choose_by_time
from minkgen.opera.keys import ArchiveKey, day_prefix, parse_key

__all__ = ["FolderSource"]


@dataclass(frozen=True)
class FolderSource:
    """A folder with keys `YYYY/MM/DD/OPERA/COMP/OPERA@YYYYMMDDTHHMM@0@PRODUCT.h5` below it."""

    root: Path

    def check(self) -> None:
        """Refuse a root that is not there: a failed listing is not an empty day.

        Raises
        ------
        SourceError
            If the root is no folder.
        """
        if not self.root.is_dir():
            raise SourceError(
                "the source folder is not there",
                where=self.root,
                expected="a folder with YYYY/MM/DD/OPERA/COMP/*.h5 below it",
                hint="mend source.path in the recipe, or give --source",
            )

    def list_day(self, day: date, quantity: str = "RATE") -> dict[datetime, Listed]:
        """Return the files of a day by nominal time.

        Of two names of a product the younger is taken (`choose_by_time`). Names outside the
        archive's grammar are not looked at. A day without a folder is an empty day.

        Parameters
        ----------
        day : date
            UTC day.
        quantity : str, optional
            ODIM quantity.

        Returns
        -------
        dict of datetime to Listed

        Raises
        ------
        SourceError
            If the source folder itself is not there.
        TransferError
            If the day's folder cannot be read.
        """
        self.check()
        return choose_by_time(self._files(day), day, quantity)

    def can_tell_absence(self, time: datetime) -> bool:
        """Return True: what is not in the folder is absent."""
        return True

    def fetch(self, listed: Listed, folder: Path) -> Fetched:
        """Return the file itself, where it lies; nothing is copied.

        Parameters
        ----------
        listed : Listed
        folder : Path
            Not used.

        Returns
        -------
        Fetched

        Raises
        ------
        TransferError
            If the file cannot be read.
        """
        path = self.path(listed.key)
        try:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                size = os.fstat(stream.fileno()).st_size
        except OSError as error:
            raise TransferError(
                "the file cannot be read", where=path, got=error.strerror
            ) from error
        return Fetched(path, size, digest, etag=None, temporary=False)

    def path(self, key: ArchiveKey) -> Path:
        """Return where a key lies."""
        return self.root / key.path

    def _files(self, day: date) -> Iterator[Listed]:
        folder = self.root / day_prefix(day)
        try:
            names = sorted(os.listdir(folder))
        except FileNotFoundError:
            return
        except OSError as error:
            raise TransferError(
                "the folder of a day cannot be read", where=folder, got=error.strerror
            ) from error
        for name in names:
            try:
                key = parse_key(name)
            except SourceError:
                continue
            yield Listed(key, (folder / name).absolute().as_uri())
