"""Whether a site is fit for minkgen: named checks, each with what was found and what to do."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

import dask
from distributed.utils import get_ip_interface
from packaging.requirements import Requirement

from minkgen.gamma.kernel.batches import gamma_batch
from minkgen.gamma.kernel.compiled import cache_folder
from minkgen.learn.gpus import gpu_names
from minkgen.recipe.site import Site

__all__ = ["Check", "State", "examine"]

State = Literal["ok", "warning", "failed"]

_COMMAND_TIMEOUT_S = 10
_LITTLE_SPACE_GB = 10.0
_SLURM_COMMANDS = ("sinfo", "sbatch", "scancel")
_TLS_ROLES = ("client", "scheduler", "worker")
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_PREFIX = ".minkgen-doctor-"


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes
    ----------
    name : str
    state : "ok", "warning" or "failed"
        With a warning, minkgen works, but less well, or not for everything.
    found : str
    hint : str
        What to do next; empty if all is well.
    """

    name: str
    state: State
    found: str
    hint: str = ""


def examine(site: Site | None, store: Path) -> Iterator[Check]:
    """Look at this host, and yield what each check finds.

    Parameters
    ----------
    site : Site or None
        A profile whose SLURM, network interface and folders are looked at, too.
    store : Path
        The store, or where one shall be; files are written and removed there.

    Yields
    ------
    Check
    """
    yield _python()
    yield _libraries()
    yield from _store(_existing(store.absolute()))
    yield _numba_cache()
    yield _configured_keys()
    yield _gpu()
    if site is not None:
        yield _slurm(site)
        yield _interface(site)
        yield _scratch(site)
        yield _shared("shared folder", site.shared)
        yield _shared("log folder", site.logs)
        yield _new_keys(site)
        yield _transfer(site)


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _libraries() -> Check:
    """Compare what is installed with what the package asks for; extras may be missing."""
    wrong = []
    needed = [Requirement(text) for text in requires("minkgen") or ()]
    needed = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    for each in needed:
        try:
            installed = version(each.name)
        except PackageNotFoundError:
            wrong.append(f"{each.name} is missing")
            continue
        if not each.specifier.contains(installed, prereleases=True):
            wrong.append(f"{each.name} is {installed}, not {each.specifier}")
    if wrong:
        hint = "install minkgen again into this environment: pip install minkgen"
        return Check("libraries", "failed", "; ".join(wrong), hint)
    found = f"minkgen {version('minkgen')}, and all {len(needed)} that it needs"
    return Check("libraries", "ok", found)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _store(folder: Path) -> Iterator[Check]:
    yield _writable("store", folder)
    for name, attempt, needed_for in (
        ("store: rename", _replaces_by_rename, "a reader would meet half-written files"),
        ("store: symbolic links", _links_symbolically, "`current` could not be switched"),
        ("store: hard links", _links_hard, "unchanged parts of snapshots would be stored again"),
    ):
        yield _attempt(name, folder, attempt, needed_for)


def _attempt(name: str, folder: Path, works: Callable[[Path], bool], otherwise: str) -> Check:
    try:
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=folder) as inside:
            fault = "" if works(Path(inside)) else "does not work"
    except OSError as error:
        fault = str(error)
    if fault:
        hint = f"put the store on another file system: {otherwise}"
        return Check(name, "failed", f"{folder}: {fault}", hint)
    return Check(name, "ok", f"works in {folder}")


def _replaces_by_rename(folder: Path) -> bool:
    """Replace a file that is being read: who has it open goes on reading the old one."""
    target, fresh = folder / "file", folder / "fresh"
    target.write_text("old")
    fresh.write_text("new")
    with target.open() as reader:
        fresh.replace(target)
        return reader.read() == "old" and target.read_text() == "new"


def _links_symbolically(folder: Path) -> bool:
    link, fresh = folder / "current", folder / "fresh"
    link.symlink_to("one")
    fresh.symlink_to("two")
    fresh.replace(link)
    return os.readlink(link) == "two"


def _links_hard(folder: Path) -> bool:
    first, second = folder / "first", folder / "second"
    first.write_text("same")
    second.hardlink_to(first)
    return first.samefile(second)


def _writable(name: str, folder: Path) -> Check:
    """Write a file, and look at the space that is left."""
    try:
        with tempfile.TemporaryFile(prefix=_PREFIX, dir=folder) as file:
            file.write(bytes(1024))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Check(name, "failed", f"cannot be written: {error}", "name a folder of your own")
    free = shutil.disk_usage(folder).free / 1e9
    found = f"{folder} is writable, {free:.1f} GB free"
    if free < _LITTLE_SPACE_GB:
        return Check(name, "warning", found, "make room: a year of composites takes about 50 GB")
    return Check(name, "ok", found)


def _numba_cache() -> Check:
    folder = cache_folder(gamma_batch)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        hint = "set NUMBA_CACHE_DIR to a folder of your own, or each process compiles anew (30 s)"
        return Check("numba cache", "failed", f"cannot be written: {error}", hint)
    return Check("numba cache", "ok", f"{folder} is writable")


def _configured_keys() -> Check:
    """Look at the key files of Dask's configuration, which clusters of an address ask for."""
    name = "TLS keys"
    configured = {dask.config.get(f"distributed.comm.tls.{role}.key", None) for role in _TLS_ROLES}
    files = [Path(file) for file in configured if file is not None]
    if not files:
        return Check(name, "ok", "none in Dask's configuration; each run makes its own")
    try:
        readable = [file for file in files if file.stat().st_mode & 0o077]
    except OSError as error:
        return Check(name, "failed", f"{error}", "mend distributed.comm.tls in ~/.config/dask")
    if readable:
        named = ", ".join(map(str, readable))
        return Check(name, "failed", f"others may read {named}", f"chmod 600 {named}")
    return Check(name, "ok", "only you may read those of Dask's configuration")


def _gpu() -> Check:
    names = gpu_names()
    if names is None:
        hint = 'pip install "minkgen[train]" where you train'
        return Check("GPU", "warning", "torch is not installed", hint)
    if not names:
        return Check("GPU", "warning", "torch sees none here", "look again on a node that has one")
    return Check("GPU", "ok", f"torch sees {', '.join(names)}")


def _slurm(site: Site) -> Check:
    """Ask SLURM for the site's partition."""
    name = "SLURM"
    missing = [command for command in _SLURM_COMMANDS if shutil.which(command) is None]
    if missing:
        hint = "start on a login node, or load the module that brings SLURM"
        return Check(name, "failed", f"not on the PATH: {', '.join(missing)}", hint)
    arguments = ["sinfo", "--noheader", "--format=%a", f"--partition={site.queue}"]
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command; the queue is one word
            arguments, capture_output=True, text=True, check=False, timeout=_COMMAND_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        found = f"sinfo said nothing in {_COMMAND_TIMEOUT_S} s"
        return Check(name, "failed", found, "try again when SLURM's controller answers")
    if answer.returncode != 0:
        said = "; ".join(answer.stderr.split("\n")).strip("; ")
        return Check(name, "failed", f"sinfo failed: {said}", "ask those who run the site")
    states = set(answer.stdout.split())
    if not states:
        hint = "mend `queue` in the site profile; `sinfo` lists the partitions"
        return Check(name, "failed", f"there is no partition {site.queue}", hint)
    if states != {"up"}:
        found = f"the partition {site.queue} is {', '.join(sorted(states))}"
        return Check(name, "warning", found, "jobs wait until it is up")
    return Check(name, "ok", f"answers, and the partition {site.queue} is up")


def _interface(site: Site) -> Check:
    name = "interface"
    try:
        address = get_ip_interface(site.interface)
    except ValueError as error:
        hint = "mend `interface` in the site profile; `ip -brief address` lists them"
        return Check(name, "failed", f"{error}", hint)
    return Check(name, "ok", f"{site.interface} is {address}")


def _scratch(site: Site) -> Check:
    """Look at the scratch of this node; those of compute nodes may differ."""
    folder = os.path.expandvars(site.scratch)
    if "$" in folder:
        hint = "look again within a job: srun minkgen doctor --site ..."
        return Check("scratch", "warning", f"{site.scratch} is known within a job only", hint)
    if not Path(folder).exists():
        hint = "if compute nodes have none either, mend `scratch` in the site profile"
        return Check("scratch", "warning", f"there is no {folder} on this node", hint)
    return _writable("scratch", Path(folder))


def _shared(name: str, folder: str) -> Check:
    return _writable(name, _existing(Path(folder)))


def _new_keys(site: Site) -> Check:
    """Make a file as the key of a run is made, and see who might read it."""
    name = "keys of a run"
    folder = _existing(Path(site.shared))
    try:
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=folder) as inside:
            key = Path(inside, "key.pem")
            key.touch(mode=0o600)
            modes = [path.stat().st_mode & 0o777 for path in (Path(inside), key)]
    except OSError as error:
        return Check(name, "failed", f"cannot be written: {error}", "mend `shared` in the profile")
    if modes != [0o700, 0o600]:
        found = f"modes in {folder} become {', '.join(f'{mode:o}' for mode in modes)}"
        hint = "mend `shared` in the profile: a file system that keeps 700 and 600"
        return Check(name, "failed", found, hint)
    return Check(name, "ok", f"nobody else could read them in {folder}")


def _transfer(site: Site) -> Check:
    """Say how composites come in; a proxy's address may hold a password, and is not shown."""
    transfer = site.transfer
    proxies = [key for key in os.environ if key.lower() in _PROXY_VARIABLES and os.environ[key]]
    through = f"through {', '.join(sorted(proxies))}" if proxies else "without a proxy"
    found = f"ingest on a {transfer.node} node, with {transfer.workers} processes, {through}"
    return Check("transfer", "ok", found)
