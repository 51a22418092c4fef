"""Names of files in the public archive: `YYYY/MM/DD/OPERA/COMP/OPERA@...@0@PRODUCT.h5`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

from minkgen.errors import SourceError

__all__ = ["PRODUCT_NAMES", "ArchiveKey", "day_prefix", "parse_key"]

# Names a product carries in keys, ODYSSEY's name first. The name tells no era for sure (the first
# hours of NIMBUS are still called QIND_RATE): the file itself decides.
PRODUCT_NAMES: dict[str, tuple[str, str]] = {
    "RATE": ("QIND_RATE", "RATE"),
    "ACRR": ("ACRR_QIND", "ACRR"),
    "DBZH": ("DBZH_QIND", "DBZH"),
}
_QUANTITY = {name: quantity for quantity, names in PRODUCT_NAMES.items() for name in names}
# ASCII: other digits would give a key another spelling than its file's.
_NAME = re.compile(r"OPERA@(\d{8}T\d{4})@0@([A-Z_]+)\.h5", re.ASCII)


@dataclass(frozen=True, order=True)
class ArchiveKey:
    """One file of the archive: its nominal time and its product name.

    Examples
    --------
    >>> key = ArchiveKey(datetime(2018, 8, 24, 18, tzinfo=UTC), "QIND_RATE")
    >>> key.path, key.quantity
    ('2018/08/24/OPERA/COMP/OPERA@20180824T1800@0@QIND_RATE.h5', 'RATE')
    """

    time: datetime
    product_name: str

    @property
    def quantity(self) -> str:
        """The ODIM quantity that the product name stands for: RATE, ACRR or DBZH."""
        return _QUANTITY[self.product_name]

    @property
    def filename(self) -> str:
        """The last part of the path."""
        return f"OPERA@{self.time:%Y%m%dT%H%M}@0@{self.product_name}.h5"

    @property
    def path(self) -> str:
        """The whole key, with forward slashes and relative to the bucket."""
        return f"{day_prefix(self.time.date())}{self.filename}"


def day_prefix(day: date) -> str:
    """Return the prefix that all keys of a day share."""
    return f"{day:%Y/%m/%d}/OPERA/COMP/"


def parse_key(path: str) -> ArchiveKey:
    """Read the time and product from a key or a file name.

    Parameters
    ----------
    path : str
        A key of the archive, or its last part.

    Returns
    -------
    ArchiveKey

    Raises
    ------
    SourceError
        If the name does not follow the archive's grammar.

    Examples
    --------
    >>> parse_key("OPERA@20241126T0200@0@RATE.h5").time.isoformat()
    '2024-11-26T02:00:00+00:00'
    """
    name = path.rsplit("/", 1)[-1]
    match = _NAME.fullmatch(name)
    problem = SourceError(
        "the file name is not one of the archive",
        where=path,
        got=name,
        expected="OPERA@YYYYMMDDTHHMM@0@PRODUCT.h5 with PRODUCT one of " + ", ".join(_QUANTITY),
    )
    if match is None or match[2] not in _QUANTITY:
        raise problem
    try:
        time = datetime.strptime(match[1], "%Y%m%dT%H%M").replace(tzinfo=UTC)
    except ValueError as error:
        raise problem from error
    return ArchiveKey(time, match[2])
