"""Faster decompression for those who read a whole array, where the package `zarrs` is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import zarr

from minkgen.store.remote import RemoteFolder

__all__ = ["fast_codecs"]


@contextmanager
def fast_codecs(location: Path | RemoteFolder) -> Iterator[None]:
    """Let zarr read through zarrs what is opened inside, if zarrs is installed.

    It gives the same bytes and uses all cores. It does not know zarr's store of an fsspec URL, so
    that nothing changes there.

    Parameters
    ----------
    location : Path or RemoteFolder
        Where the arrays are.
    """
    if isinstance(location, RemoteFolder) or find_spec("zarrs") is None:
        yield
        return
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        yield
