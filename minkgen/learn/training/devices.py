"""The processes of a training: one, several of this machine, or those that srun has started.

Every process holds one device and a copy of the network; gradients are averaged between them (DDP)
by NCCL on GPUs and by gloo on CPUs. Processes of one machine meet in a file that only this user
can read and speak on loopback; the tasks of an srun meet at a port of the first node.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment

from minkgen.errors import InputError, MinkgenError, TrainingError

__all__ = ["process_count", "process_rank", "sum_over_ranks", "training_fabric"]

# A companion that has nothing to do any more ends within this time, or is ended.
PATIENCE_SECONDS = 30.0
LOOPBACK = "lo" if sys.platform == "linux" else "lo0"


@contextmanager
def training_fabric(
    devices: int, follow: Callable[..., object], arguments: tuple[Any, ...]
) -> Iterator[Fabric]:
    """Yield the fabric of the first process, with companions at work if there are to be any.

    Parameters
    ----------
    devices : int
        Processes of this machine; 1 among the tasks of an srun, which are all taken.
    follow : callable
        What a companion does: called with its fabric and `arguments`. A function of a module.
    arguments : tuple
        Sent to companions by pickling.
    """
    tasks, nodes = _srun_tasks()
    if tasks > 1:
        fabric = Fabric(devices=tasks // nodes, num_nodes=nodes, strategy="ddp")
        fabric.launch()
        with _strides_may_differ():
            yield fabric
    elif devices == 1:
        yield Fabric(devices=1, plugins=[LightningEnvironment()])
    else:
        with _companions(devices, follow, arguments) as fabric:
            yield fabric


def process_count(devices: int) -> int:
    """Return how many processes a training has.

    Parameters
    ----------
    devices : int
        As for `training_fabric`.

    Raises
    ------
    InputError
        If there are fewer GPUs than devices, or several devices for each of several tasks.
    """
    tasks, _ = _srun_tasks()
    if tasks > 1 and devices > 1:
        raise InputError(
            "srun has started several tasks, of which each is one process of the training",
            where="devices",
            got=f"{devices} devices in {tasks} tasks",
            hint="give no number of devices, or one task",
        )
    gpus = torch.cuda.device_count()
    if 0 < gpus < devices:
        raise InputError(
            "there are not so many GPUs",
            where="devices",
            got=devices,
            expected=f"at most {gpus}",
            hint="ask for less (--devices), or for more GPUs from SLURM (--gpus-per-node)",
        )
    return max(tasks, devices)


def process_rank() -> int:
    """Return which of the tasks of an srun this process is; 0 where there is one."""
    tasks, _ = _srun_tasks()
    return int(os.environ["SLURM_PROCID"]) if tasks > 1 else 0


def _srun_tasks() -> tuple[int, int]:
    """Return the tasks and the nodes of the srun that has started this process; one of each else.

    A batch script knows the job's number of tasks as well, but is a step of its own.
    """
    if "SLURM_STEP_ID" not in os.environ:
        return 1, 1
    return int(os.environ["SLURM_STEP_NUM_TASKS"]), int(os.environ["SLURM_STEP_NUM_NODES"])


@contextmanager
def _companions(
    devices: int, follow: Callable[..., object], arguments: tuple[Any, ...]
) -> Iterator[Fabric]:
    """Start the processes of all ranks but the first, which this one is."""
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // devices)
    with tempfile.TemporaryDirectory(prefix="minkgen-") as folder:
        meeting = Path(folder) / "ranks"
        processes = [
            context.Process(
                target=_follow,
                args=(rank, devices, meeting, threads, follow, arguments),
                daemon=True,
            )
            for rank in range(1, devices)
        ]
        for process in processes:
            process.start()
        try:
            with _member(0, devices, meeting) as fabric:
                yield fabric
        except MinkgenError:
            raise  # from which the companions end, too
        except RuntimeError as error:
            statuses = [process.exitcode for process in processes if process.exitcode]
            _end(processes, seconds=0.0)
            if not statuses:
                raise
            raise TrainingError(
                "another process of the training has died",
                got=f"exit status {statuses[0]}",
                hint="see above for its own words; the last checkpoint stays",
            ) from error
        finally:
            _end(processes, seconds=PATIENCE_SECONDS)


def _end(processes: Sequence[BaseProcess], *, seconds: float) -> None:
    """Wait for processes, and kill those that work on; they have nothing open."""
    for process in processes:
        process.join(seconds)
        if process.is_alive():
            process.kill()
            process.join()


def _follow(
    rank: int,
    devices: int,
    meeting: Path,
    threads: int,
    follow: Callable[..., object],
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(threads)
    # Ctrl-C reaches every process of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(MinkgenError), _member(rank, devices, meeting) as fabric:
        follow(fabric, *arguments)


class _Started(LightningEnvironment):  # type: ignore[misc]  # Fabric is untyped
    """Tells Fabric that the processes of all ranks are there, and which one this is."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self._rank = rank

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def local_rank(self) -> int:
        return self._rank


@contextmanager
def _member(rank: int, devices: int, meeting: Path) -> Iterator[Fabric]:
    """Join the processes of one machine as one of its ranks."""
    # Fabric would let the ranks meet at a port that listens on every interface.
    with _environment(GLOO_SOCKET_IFNAME=LOOPBACK, NCCL_SOCKET_IFNAME=LOOPBACK):
        torch.distributed.init_process_group(
            "nccl" if torch.cuda.is_available() else "gloo",
            init_method=meeting.as_uri(),
            rank=rank,
            world_size=devices,
        )
        try:
            fabric = Fabric(devices=devices, strategy="ddp", plugins=[_Started(rank)])
            fabric.launch()
            with _strides_may_differ():
                yield fabric
        finally:
            torch.distributed.destroy_process_group()


@contextmanager
def _strides_may_differ() -> Iterator[None]:
    """Let DDP copy the gradients of kernels of one pixel, whose strides have two right forms."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Grad strides do not match", UserWarning)
        yield


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def sum_over_ranks(fabric: Fabric, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the sums of an array's values over all processes, the same in each."""
    if fabric.world_size == 1:
        return values
    summed = fabric.all_reduce(torch.from_numpy(values).to(fabric.device), reduce_op="sum")
    total: npt.NDArray[np.float64] = summed.cpu().numpy()
    return total
