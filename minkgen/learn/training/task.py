"""What is trained: the part of a training that its loop does not know.

Shape suffixes: T terms of a loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from lightning_fabric import Fabric
from torch import Tensor, nn

__all__ = ["Epochs", "LearningSettings", "Moment", "Task", "on_device", "with_total"]

FloatArray = npt.NDArray[np.float64]


class LearningSettings(Protocol):
    """What every section of a recipe says that describes a training."""

    @property
    def batch_size(self) -> int:
        """Samples of a step, of all processes together."""

    @property
    def epochs(self) -> int:
        """How many there are at most."""

    @property
    def patience(self) -> int:
        """Epochs without progress before stopping."""

    @property
    def seed(self) -> int:
        """Of everything that is random."""


class Epochs(Protocol):
    """The share of the training split that a process has, epoch after epoch."""

    @property
    def batches(self) -> int:
        """Batches of an epoch, the same in every process."""

    @property
    def samples(self) -> int:
        """Samples of an epoch, of all processes together."""

    def epoch(self, number: int, *, done: int = 0) -> Iterable[Any]:
        """Return an epoch, or what is left of it: named tuples of tensors, one called `gamma`."""


class Moment(NamedTuple):
    """When a step is taken.

    Attributes
    ----------
    epoch, batch : int
        From 1.
    batches : int
        Of an epoch.
    """

    epoch: int
    batch: int
    batches: int

    def __str__(self) -> str:
        return f"epoch {self.epoch}, batch {self.batch}"


class Task(ABC):
    """A kind of network with its data and its loss, on one of the processes of a training.

    The loop asks for the terms of a batch, adds them up over the processes, weighs this one's by
    its share, and lowers their loss. Whatever a step needs besides weights, and is no function of
    the seed and the moment, is part of `state`.

    Attributes
    ----------
    settings : LearningSettings
    identity : dict
        What a training must have in common with its checkpoint, as plain containers.
    trained_with : dict
        The same of what is not part of the trained network: others who read its weights need not
        know it. Kept beside the identity.
    training : Epochs
    modules : dict of str to Module
        As Fabric trains them, by their name in the checkpoint; the first is what is kept of the
        best epoch.
    optimizer
        Of their parameters, as Fabric has set it up.
    gradient_clip : float or None
        Largest norm of a step's gradient.
    patience_begins : int
        The epoch after which patience is counted: no earlier than the loss is what it will be.
    learning_rate_key : str
        Of the recipe: what to lower where a loss is not finite.
    """

    settings: LearningSettings
    identity: dict[str, Any]
    trained_with: dict[str, Any]
    training: Epochs
    modules: dict[str, Any]
    optimizer: Any
    gradient_clip: float | None = None
    patience_begins: int = 0
    learning_rate_key: str

    @abstractmethod
    def term_names(self, epoch: int) -> tuple[str, ...]:
        """Return the names of the terms in an epoch."""

    @abstractmethod
    def terms(self, batch: Any, moment: Moment) -> Tensor:
        """Return the terms (T,) of the loss, means over the samples of a batch on the device."""

    @abstractmethod
    def loss(self, terms_T: Tensor, moment: Moment) -> Tensor:
        """Return the scalar that a step lowers, of terms times the share of this process."""

    @abstractmethod
    def headline(self, means_T: FloatArray) -> float:
        """Return the one number of mean terms that people are shown."""

    @abstractmethod
    def training_record(self, means_T: FloatArray, epoch: int) -> dict[str, Any]:
        """Return what is recorded of an epoch's training, of its mean terms."""

    @abstractmethod
    def validate(self) -> dict[str, Any]:
        """Return what is recorded of the validation split, `validation_seconds` among it."""

    @abstractmethod
    def score(self, record: dict[str, Any]) -> float:
        """Return by what the best epoch is chosen, of its record: the least is best."""

    def kept(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return what is written beside the weights of the best epoch, of its record."""
        return {}

    def state(self) -> dict[str, Any]:
        """Return entries of a checkpoint beside those of the loop, in plain containers."""
        return {}

    def load_state(self, checkpoint: dict[str, Any]) -> None:  # noqa: B027 - most have none
        """Take up what `state` returned."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that is trained."""
        modules = self.modules.values()
        return [each for module in modules for each in module.parameters() if each.requires_grad]

    def train(self) -> None:
        """Set everything to training mode, in which validation has left nothing."""
        for module in self.modules.values():
            module.train()


def on_device(fabric: Fabric, module: nn.Module) -> Any:
    """Return a module as Fabric trains it.

    Batch normalisation sees the whole batch where several GPUs share it. On CPUs torch has no such
    layer: there, each process normalises its own share, and the first one's averages are kept.
    """
    if not any(parameter.requires_grad for parameter in module.parameters()):
        return module.to(fabric.device)  # DDP refuses what has no gradients
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return fabric.setup_module(module)


def with_total(names: Sequence[str], terms: FloatArray) -> dict[str, float]:
    """Return the terms of L_M with the names of the functionals, and L_M itself."""
    named = zip(names, terms.tolist(), strict=True)
    return {"total": float(terms.sum()), **dict(named)}
