"""What web addresses and headers say: pure functions, strict about what servers may send."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

__all__ = ["origin", "redirect_target", "strong_etag", "wait_asked_for"]

_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')
_SECONDS = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
# X-RateLimit-Reset counts from now on some servers and from 1970 on others: 10^9 s are 31 years.
_EPOCH_FROM = 1e9


def origin(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of a web address; None if it is none, or names a user.

    Examples
    --------
    >>> origin("https://Example.org/a"), origin("http://user@example.org"), origin("s3://a")
    (('https', 'example.org', 443), None, None)
    """
    ports = {"http": 80, "https": 443}
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ports or not host or "@" in parts.netloc:
        return None
    return parts.scheme, host, port or ports[parts.scheme]


def redirect_target(url: str, location: str) -> str | None:
    """Return where a redirect leads; None if that is another scheme, host or port.

    Examples
    --------
    >>> redirect_target("https://example.org/a/b", "../c")
    'https://example.org/c'
    >>> redirect_target("https://example.org/a", "http://example.org/a") is None
    True
    """
    try:
        target = urljoin(url, location)
    except ValueError:
        return None
    return target if origin(target) is not None and origin(target) == origin(url) else None


def strong_etag(text: str | None) -> str | None:
    """Return an entity tag that names exact bytes; None for weak and malformed ones.

    Examples
    --------
    >>> strong_etag('"9a0364b9"'), strong_etag('W/"9a0364b9"')
    ('"9a0364b9"', None)
    """
    return text if text is not None and _STRONG_ETAG.fullmatch(text) else None


def wait_asked_for(headers: Mapping[str, str], now: float) -> float | None:
    """Return for how many seconds a server asks to be left alone.

    Parameters
    ----------
    headers : mapping
        Of its response; names in any case.
    now : float
        Seconds since 1970.

    Returns
    -------
    float or None
        From `Retry-After` (seconds or a date), else from `X-RateLimit-Reset` (seconds from now or
        since 1970); None where neither says anything.
    """
    after = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(after):
        return float(after)
    if after:
        try:
            date = parsedate_to_datetime(after)
        except (ValueError, OverflowError):
            pass
        else:
            aware = date if date.tzinfo else date.replace(tzinfo=UTC)
            return max(0.0, aware.timestamp() - now)
    reset = headers.get("X-RateLimit-Reset", "").strip()
    if not _SECONDS.fullmatch(reset):
        return None
    return max(0.0, float(reset) - now) if float(reset) > _EPOCH_FROM else float(reset)
