"""Who may read what is published, as modes and groups of files."""

from __future__ import annotations

import grp
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from minkgen.errors import StoreError
from minkgen.recipe import Sharing

__all__ = ["Permissions", "permissions_of"]

_ALL_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class Permissions:
    """What published files and folders get: not what is in `umask`, and a group."""

    umask: int
    group: int | None

    def share(self, path: Path) -> None:
        """Let others read a file that goes on being replaced, or a folder."""
        found = path.stat()
        everything = 0o777 if stat.S_ISDIR(found.st_mode) else 0o666
        self._apply(path, found, everything & ~self.umask)

    def seal(self, root: Path) -> None:
        """Let others read a whole tree, and nobody write its files."""
        for folder, _, names in os.walk(root):
            self.share(Path(folder))
            for name in names:
                path = Path(folder, name)
                self._apply(path, path.stat(), 0o666 & ~self.umask & ~_ALL_WRITE)

    def _apply(self, path: Path, found: os.stat_result, mode: int) -> None:
        # Only what differs: shards are shared with earlier snapshots, maybe with their owners.
        if self.group is not None and found.st_gid != self.group:
            os.chown(path, -1, self.group)
        special = stat.S_IMODE(found.st_mode) & ~0o777  # a folder's set-group-ID bit
        if stat.S_IMODE(found.st_mode) != special | mode:
            path.chmod(special | mode)


def permissions_of(sharing: Sharing) -> Permissions:
    """Return the permissions that a recipe asks for.

    Raises
    ------
    StoreError
        If there is no such group here, or the user is no member of it.
    """
    umask = int(sharing.umask, 8)
    if sharing.group is None:
        return Permissions(umask, None)
    try:
        group = grp.getgrnam(sharing.group).gr_gid
    except KeyError:
        group = None
    if group is None or (os.geteuid() != 0 and group not in (os.getegid(), *os.getgroups())):
        mine = sorted({_name_of(each) for each in (os.getegid(), *os.getgroups())})
        raise StoreError(
            "what is published cannot be given to the recipe's group",
            where="sharing.group",
            got=sharing.group,
            expected=f"a group of the user: {', '.join(mine)}",
            hint="name such a group, or leave the key out",
        )
    return Permissions(umask, group)


def _name_of(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)
