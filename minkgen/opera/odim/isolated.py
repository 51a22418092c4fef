"""Reading composites in a process of their own, which a damaged file may crash or hang.

The HDF5 library was not made for files that somebody bent on purpose or a disk by accident: some of
them crash it, or keep it busy for ever. Here that costs a process and gives a SourceError.
"""

from __future__ import annotations

import math
import mmap
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from minkgen.errors import SourceError, TaskError
from minkgen.opera.keys import ArchiveKey
from minkgen.opera.odim import Composite
from minkgen.opera.odim.decoding import Scaling
from minkgen.opera.odim.isolated_messages import (
    LONGEST_MESSAGE,
    READY,
    SHARED_BYTES,
    parse_reply,
    request,
)

__all__ = ["IsolatedReader"]

# Importing the libraries from a busy parallel file system takes up to a minute.
_START_SECONDS = 300.0
# How long a process may take to end whose socket is closed.
_END_SECONDS = 5.0
# The process lives on for so long after nobody waits for it any more.
_ORPHAN_SECONDS = 10
# The first time, the process may have been killed for reasons that lie not in the file.
_TRIES = 2
# The C library must not return the memory of every chunk to the system, to fetch it back for the
# next: ten milliseconds a composite.
_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**27), "MALLOC_MMAP_THRESHOLD_": str(2**26)}


@dataclass(frozen=True)
class _Child:
    """A running process, and the socket on which it is asked."""

    process: subprocess.Popen[bytes]
    peer: socket.socket

    def receive(self, seconds: float) -> bytes:
        """Return the next message; empty if the process died."""
        self.peer.settimeout(seconds)
        try:
            return self.peer.recv(LONGEST_MESSAGE)
        except ConnectionError:
            return b""

    def ask(self, message: bytes, seconds: float) -> bytes:
        """Return the answer to a message; empty if the process died."""
        self.peer.settimeout(seconds)
        try:
            self.peer.send(message)
        except ConnectionError:
            return b""
        return self.receive(seconds)

    def end(self) -> int:
        """Close the socket, on which the process ends, or is killed; return its exit status."""
        self.peer.close()
        try:
            return self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class IsolatedReader:
    """Decodes composites in a child process, which is started when needed and again when it died.

    A context manager; not to be shared between threads. Needs Linux.

    Parameters
    ----------
    time_limit_seconds : float, optional
        What a file may take.
    memory_bytes : int, optional
        What decoding a file may allocate.

    Examples
    --------
    >>> with IsolatedReader() as reader:
    ...     reader.read(Path("no_such_file.h5"))
    Traceback (most recent call last):
    minkgen.errors.SourceError: the file cannot be read
      where: no_such_file.h5
      got: [Errno 2] No such file or directory: 'no_such_file.h5'
      next: look at its path, and whether you may read it
    """

    def __init__(self, *, time_limit_seconds: float = 60.0, memory_bytes: int = 2 * 10**9) -> None:
        self.time_limit_seconds = time_limit_seconds
        self.memory_bytes = memory_bytes
        self._child: _Child | None = None
        self._descriptor = os.memfd_create("minkgen-composite")
        # Only pages that were written to take memory: 34 MB for a composite of 2 km.
        os.ftruncate(self._descriptor, SHARED_BYTES)
        self._shared = np.frombuffer(
            mmap.mmap(self._descriptor, SHARED_BYTES, access=mmap.ACCESS_READ), np.float32
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end_child()
        del self._shared
        os.close(self._descriptor)

    @property
    def process_id(self) -> int | None:
        """The running process, if there is one."""
        return None if self._child is None else self._child.process.pid

    def read(
        self, path: Path, key: ArchiveKey | None = None, accepted: tuple[Scaling, ...] = ()
    ) -> Composite:
        """Read and decode a composite as `read_composite` does.

        Parameters
        ----------
        path : Path
        key : ArchiveKey, optional
        accepted : tuple of Scaling, optional
            All as for `read_composite`.

        Returns
        -------
        Composite

        Raises
        ------
        SourceError
            As from `read_composite`; also if decoding the file crashes, or needs more time or
            memory than it may.
        TaskError
            If the process cannot be started, which is not the file's fault.
        """
        message = request(path, key, accepted)
        status = None
        for _ in range(_TRIES):
            reply, status = self._ask(message, path)
            if reply:
                return parse_reply(reply, self._shared)
        raise SourceError(
            "decoding the file crashes",
            where=path,
            got=_ending(status),
            hint="fetch it again; if it stays so, the upstream copy is damaged",
        )

    def _ask(self, message: bytes, path: Path) -> tuple[bytes, int | None]:
        """Return the answer; if it is empty, the exit status of the process that died of it."""
        child = self._running_child()
        reply: bytes | None = None
        status = None
        try:
            reply = child.ask(message, self.time_limit_seconds)
        except TimeoutError as error:
            raise SourceError(
                "decoding the file takes too long",
                where=path,
                expected=f"at most {self.time_limit_seconds:g} s",
            ) from error
        finally:
            # An interrupt, too, ends the process: no later question may get this one's answer.
            if reply is None:
                child.process.kill()
            if not reply:
                status = self._end_child()
        return reply, status

    def _running_child(self) -> _Child:
        if self._child is None:
            self._child = self._start_child()
            try:
                greeting = self._child.receive(_START_SECONDS)
            except TimeoutError:
                greeting = b""
            if greeting != READY:
                status = self._end_child()
                raise TaskError(
                    "the decoding process does not start",
                    got=_ending(status),
                    hint="what it says stands on standard error",
                )
        return self._child

    def _start_child(self) -> _Child:
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        seconds = math.ceil(self.time_limit_seconds) + _ORPHAN_SECONDS
        limits = [self._descriptor, self.memory_bytes, seconds]
        # -P: a file in the working directory must not pass for a library.
        command = [sys.executable, "-P", "-m", "minkgen.opera.odim.isolated_child"]
        with other:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [*command, *map(str, limits)],
                stdin=other.fileno(),
                stdout=subprocess.DEVNULL,
                pass_fds=[self._descriptor],
                env=os.environ | _KEEP_MEMORY,
                # Ctrl-C is for the parent, whose end the child notices.
                start_new_session=True,
            )
        return _Child(process, own)

    def _end_child(self) -> int | None:
        """Return the exit status of the process, if there was one."""
        child, self._child = self._child, None
        return None if child is None else child.end()


def _ending(status: int | None) -> str:
    if status is not None and status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return f"exit status {status}"
