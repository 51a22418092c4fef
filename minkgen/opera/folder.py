"""Composites in a folder that is laid out like the public archive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from minkgen.errors import SourceError
from minkgen.opera.keys import PRODUCT_NAMES, ArchiveKey, day_prefix, parse_key

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

    def list_day(self, day: date, quantity: str = "RATE") -> dict[datetime, ArchiveKey]:
        """Return the keys of a day by nominal time.

        Where a time has a file under both names of a product (the hours of an era switch), the
        younger name is taken. Names outside the archive's grammar are not looked at.

        Parameters
        ----------
        day : date
            UTC day.
        quantity : str, optional
            ODIM quantity.

        Returns
        -------
        dict of datetime to ArchiveKey

        Raises
        ------
        SourceError
            If the source folder itself is not there.
        """
        self.check()
        folder = self.root / day_prefix(day)
        names = PRODUCT_NAMES[quantity]
        found: dict[datetime, ArchiveKey] = {}
        for path in sorted(folder.glob("OPERA@*.h5")):
            try:
                key = parse_key(path.name)
            except SourceError:
                continue
            if key.product_name not in names or key.time.date() != day:
                continue
            known = found.get(key.time)
            if known is None or names.index(known.product_name) < names.index(key.product_name):
                found[key.time] = key
        return found

    def path(self, key: ArchiveKey) -> Path:
        """Return where a key lies."""
        return self.root / key.path
