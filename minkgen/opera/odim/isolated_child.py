"""The process that decodes files for `IsolatedReader`; it is started by it and by nobody else.

Its standard input is the socket on which it is asked. It ends when the other end is closed.
"""

from __future__ import annotations

import mmap
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minkgen.errors import SourceError
from minkgen.opera.odim import read_composite
from minkgen.opera.odim.isolated_messages import (
    LONGEST_MESSAGE,
    READY,
    SHARED_BYTES,
    composite_reply,
    error_reply,
    fill_in_order,
    parse_request,
)

__all__ = ["main"]


def main() -> None:
    """Answer requests until there are no more; what goes wrong besides the file ends the process.

    The arguments are the descriptor of the shared memory, the bytes that may be allocated, and the
    seconds after which a file is given up even if nobody waits any more.
    """
    descriptor, memory_bytes, seconds = map(int, sys.argv[1:])
    shared = np.frombuffer(mmap.mmap(descriptor, SHARED_BYTES), np.float32)
    # A crash is reported by its exit status; a core file in the working directory helps nobody.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_memory(memory_bytes)
    # Unhandled, it ends the process even in the midst of the HDF5 library.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    # A parent that was killed leaves a connection that is reset: nobody is there to be told.
    with suppress(ConnectionError), socket.socket(fileno=sys.stdin.fileno()) as peer:
        peer.send(READY)
        while message := peer.recv(LONGEST_MESSAGE):
            signal.alarm(seconds)
            reply = _answer(message, shared, memory_bytes)
            signal.alarm(0)
            peer.send(reply)


def _answer(message: bytes, shared: npt.NDArray[np.float32], memory_bytes: int) -> bytes:
    path, key, accepted = parse_request(message)
    try:
        return composite_reply(
            read_composite(path, key, accepted=accepted, allocate=fill_in_order(shared))
        )
    except SourceError as error:
        return error_reply(error)
    except MemoryError:
        return error_reply(
            SourceError(
                "decoding the file needs too much memory",
                where=path,
                expected=f"at most {memory_bytes} bytes",
            )
        )


def _limit_memory(memory_bytes: int) -> None:
    """Allow so much address space beyond what the libraries take already."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + memory_bytes
    _, highest = resource.getrlimit(resource.RLIMIT_AS)
    if highest != resource.RLIM_INFINITY:
        limit = min(limit, highest)
    resource.setrlimit(resource.RLIMIT_AS, (limit, highest))


if __name__ == "__main__":
    main()
