"""Which addresses processes listen on, from the kernel's own tables."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

__all__ = ["beyond_loopback", "listening"]

LISTEN = "0A"

Addresses = dict[int, set[IPv4Address | IPv6Address]]


def listening(processes: Collection[int]) -> Addresses:
    """Return the addresses of all TCP sockets on which some processes listen, by process id."""
    addresses: Addresses = defaultdict(set)
    listeners = _listeners()
    for pid in processes:
        for inode in _sockets(pid) & listeners.keys():
            addresses[pid].add(listeners[inode])
    return dict(addresses)


def beyond_loopback(addresses: Mapping[int, set[IPv4Address | IPv6Address]]) -> Addresses:
    """Return those that others than this host may reach."""
    outside = {pid: {one for one in all_ if not one.is_loopback} for pid, all_ in addresses.items()}
    return {pid: some for pid, some in outside.items() if some}


def _sockets(pid: int) -> set[str]:
    """Return the inodes of a process's sockets; none if it has ended."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:
            continue
        if match := re.fullmatch(r"socket:\[(\d+)\]", target):
            inodes.add(match[1])
    return inodes


def _listeners() -> dict[str, IPv4Address | IPv6Address]:
    """Return the address of every listening socket of this host, by inode."""
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN:
                # Words of 32 bits as the processor holds them: the least byte first.
                raw = bytes.fromhex(fields[1].split(":")[0])
                words = [raw[start : start + 4][::-1] for start in range(0, len(raw), 4)]
                found[fields[9]] = ip_address(b"".join(words))
    return found
