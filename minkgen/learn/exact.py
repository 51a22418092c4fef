"""The exact functionals as a surrogate, with the gradients of their persistence pairs.

Shape suffixes: B samples, F functionals, Q thresholds, H rows (north first), W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from minkgen.errors import InputError
from minkgen.gamma.soft import SoftGamma
from minkgen.gamma.warm_up import warm_up_soft
from minkgen.learn.surrogate import GammaDefinition, Surrogate
from minkgen.recipe.learning import Exact

__all__ = ["ExactGamma"]

Float32 = npt.NDArray[np.float32]

# Tiles that a thread takes at once: few, so that all end at about the same time, though tiles
# differ; enough for the call itself to cost little beside.
_PIECE = 32


class ExactGamma(Surrogate):
    """γ itself, on the processor: exact forward, with the true gradient of its soft form.

    The soft form, the gradient and where it is blind are described in docs/exact.md and at
    `minkgen.gamma.soft.SoftGamma`. Batches are cut into pieces for as many threads, which need no
    GIL; results do not depend on their number. Tensors of other devices are copied, and results
    are brought back. Whatever type the rain rate has, γ is float32.

    Forward-mode differentiation is supported (`torch.func.jvp`), differentiating twice is not.

    Parameters
    ----------
    definition : GammaDefinition
    functionals : sequence of str
        Names along F, any of `minkgen.gamma.functionals.FUNCTIONALS`; all cost as much as one.
    settings : Exact, optional
        Temperatures, and whether γ or its soft form is returned; gradients are of the soft form.
    threads : int, optional
        By default as many as torch uses (`torch.get_num_threads`) when γ is computed.

    Attributes
    ----------
    temperature_scale : Tensor
        What all temperatures are multiplied with, see `temper`.
    copied_bytes : int
        What was copied between devices so far: rain rates, γ and gradients.

    Raises
    ------
    InputError
        If functionals or definition cannot be used, or a step would begin below 0 mm/h.

    Examples
    --------
    >>> definition = GammaDefinition((0.5, 1.0), 2.0, 0.1, (0.0, 0.0), "alive")
    >>> surrogate = ExactGamma(definition, ["area", "components"])
    >>> rain = torch.tensor([[[0.0, 0.98, 3.0]]], requires_grad=True)
    >>> gamma = surrogate(rain)
    >>> gamma.sum().backward()
    >>> gamma.detach(), rain.grad
    (tensor([[[8., 4.],
             [1., 1.]]]), tensor([[[ 0.0000, 28.8000,  0.0000]]]))
    """

    temperature_scale: Tensor

    def __init__(
        self,
        definition: GammaDefinition,
        functionals: Sequence[str],
        settings: Exact | None = None,
        *,
        threads: int | None = None,
    ) -> None:
        super().__init__(definition, functionals)
        if threads is not None and threads < 1:
            raise InputError("there must be a thread", where="threads", got=threads)
        self.settings = settings or Exact()
        self.threads = threads
        self.copied_bytes = 0
        self.register_buffer("temperature_scale", torch.ones(()))
        self._soft_gamma(1.0)
        # Not while others wait for a batch, and in turns with the processes of other GPUs.
        warm_up_soft()

    def temper(self, scale: float) -> None:
        """Multiply the temperatures of the recipe with this from now on.

        Parameters
        ----------
        scale : float
            Above 1 for softer steps, towards 0 for harder ones.

        Raises
        ------
        InputError
            If it is no positive number, or a step would begin below 0 mm/h.
        """
        self._soft_gamma(scale)
        self.temperature_scale.fill_(scale)

    def forward(self, rain_rate_BHW: Tensor) -> Tensor:
        """Compute γ.

        Parameters
        ----------
        rain_rate_BHW : Tensor
            In mm/h, of any floating type, finite; computed in float32.

        Returns
        -------
        Tensor (B, F, Q), float32
            In physical units.

        Raises
        ------
        InputError
            If the tensor has another shape or type, or a rate is not finite.
        """
        if rain_rate_BHW.ndim != 3 or not rain_rate_BHW.is_floating_point():
            raise InputError(
                "the rain rate is no batch of tiles",
                where="rain_rate",
                got=f"{rain_rate_BHW.dtype}, shape {tuple(rain_rate_BHW.shape)}",
                expected="floats, shape (B, H, W)",
            )
        call = _Call(self, self._soft_gamma(float(self.temperature_scale)))
        gamma_BFQ: Tensor = _ExactFunction.apply(  # type: ignore[no-untyped-call]
            rain_rate_BHW.float(), call
        )
        return gamma_BFQ

    def _soft_gamma(self, scale: float) -> SoftGamma:
        if not scale > 0:
            raise InputError("temperatures must be positive", where="scale", got=scale)
        definition, settings = self.definition, self.settings
        thresholds = np.asarray(definition.thresholds, np.float64)
        temperatures = np.maximum(
            settings.temperature_factor * np.maximum(thresholds, definition.drizzle_mm_h),
            settings.temperature_floor_mm_h,
        )
        return SoftGamma(
            thresholds,
            scale * temperatures,
            pixel_km=definition.pixel_km,
            drizzle_mm_h=definition.drizzle_mm_h,
            min_persistence=definition.floors,
            functionals=self.functionals,
            essential=definition.essential,
        )


class _Call:
    """One use of the surrogate, as its temperatures were then."""

    def __init__(self, surrogate: ExactGamma, soft_gamma: SoftGamma) -> None:
        self._surrogate = surrogate
        self._soft_gamma = soft_gamma

    def gamma(self, rain_rate_BHW: Tensor) -> Tensor:
        is_hard = self._surrogate.settings.forward == "hard"
        tiles = self._fetch(rain_rate_BHW)
        _refuse_non_finite(tiles)
        compute = self._soft_gamma.hard if is_hard else self._soft_gamma.soft
        return self._return(self._in_threads(compute, tiles), rain_rate_BHW)

    def pull_back(self, rain_rate_BHW: Tensor, gradient_BFQ: Tensor) -> Tensor:
        arrays = self._fetch(rain_rate_BHW), self._fetch(gradient_BFQ)
        return self._return(self._in_threads(self._soft_gamma.pull_back, *arrays), rain_rate_BHW)

    def push_forward(self, rain_rate_BHW: Tensor, direction_BHW: Tensor) -> Tensor:
        arrays = self._fetch(rain_rate_BHW), self._fetch(direction_BHW)
        return self._return(self._in_threads(self._soft_gamma.push_forward, *arrays), rain_rate_BHW)

    def _fetch(self, tensor: Tensor) -> Float32:
        self._count(tensor)
        return tensor.detach().cpu().numpy()

    def _return(self, array: Float32, like: Tensor) -> Tensor:
        tensor = torch.from_numpy(array).to(like.device)
        self._count(tensor)
        return tensor

    def _count(self, tensor: Tensor) -> None:
        if tensor.device.type != "cpu":
            self._surrogate.copied_bytes += tensor.nbytes

    def _in_threads(self, compute: Callable[..., Float32], *batches: Float32) -> Float32:
        """Map a function of batches over pieces of them."""
        pieces = -(-len(batches[0]) // _PIECE)
        threads = min(self._surrogate.threads or torch.get_num_threads(), pieces)
        if threads <= 1:
            return compute(*batches)
        cut = [np.array_split(batch, pieces) for batch in batches]
        # Started anew each time: it takes 50 µs a thread, and nothing is left behind that a fork,
        # a copy of the module or the end of the process would have to care for.
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(compute, *cut)))


class _ExactFunction(torch.autograd.Function):
    """γ by `_Call`, forward, backward and in forward mode."""

    @staticmethod
    def forward(rain_rate_BHW: Tensor, call: _Call) -> Tensor:
        return call.gamma(rain_rate_BHW)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, _Call], output: Tensor) -> None:
        rain_rate_BHW, ctx.call = inputs
        ctx.save_for_backward(rain_rate_BHW)
        ctx.save_for_forward(rain_rate_BHW)

    @staticmethod
    def backward(ctx: Any, gradient_BFQ: Tensor) -> tuple[Tensor, None]:
        slopes_BHW: Tensor = _Derivative.apply(  # type: ignore[no-untyped-call]
            ctx.call.pull_back, *ctx.saved_tensors, gradient_BFQ
        )
        return slopes_BHW, None

    @staticmethod
    def jvp(ctx: Any, direction_BHW: Tensor, _: None) -> Tensor:
        tangent_BFQ: Tensor = _Derivative.apply(  # type: ignore[no-untyped-call]
            ctx.call.push_forward, *ctx.saved_tensors, direction_BHW
        )
        return tangent_BFQ


class _Derivative(torch.autograd.Function):
    """A derivative by `_Call`, which has none itself.

    `torch.func` wraps tensors: only in here they have values.
    """

    @staticmethod
    def forward(derive: Callable[[Tensor, Tensor], Tensor], *tensors: Tensor) -> Tensor:
        return derive(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> None:
        raise InputError(
            "the exact surrogate cannot be differentiated twice",
            where="γ",
            hint="call backward() without create_graph, or use another surrogate",
        )


def _refuse_non_finite(tiles: Float32) -> None:
    finite = np.isfinite(tiles).all(axis=(1, 2))
    if finite.all():
        return
    samples = np.flatnonzero(~finite)
    pixels = np.count_nonzero(~np.isfinite(tiles[samples[0]]))
    raise InputError(
        "a rain rate is not finite",
        where=f"rain_rate, sample {samples[0]}",
        got=f"{pixels} of {tiles[0].size} pixels NaN or infinite; "
        f"{samples.size} of {len(tiles)} samples have such",
        expected="finite rates in mm/h",
        hint="set missing pixels to 0; for a network's output, lower the learning rate",
    )
