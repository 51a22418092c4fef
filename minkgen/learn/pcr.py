"""Principal component regression: the linear baseline of the surrogates.

Tiles are projected on the principal components of a sample of training tiles, and log γ is
regressed on the scores by least squares, over all training tiles in one pass.

Shape suffixes besides those of `minkgen.learn.surrogate`: D pixels of a tile, K components.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from minkgen.errors import InputError, TrainingError
from minkgen.learn.data import Batch, TileReader
from minkgen.learn.losses import signed_log1p
from minkgen.learn.surrogate import GammaDefinition, Surrogate, zero_drizzle
from minkgen.recipe import PCR
from minkgen.store.snapshot import Snapshot

__all__ = ["PcrDesign", "PcrGamma", "fit_pcr"]

# Of the randomized decomposition (Halko, Martinsson and Tropp, 2011): directions beyond those that
# are kept, and power iterations. The spectrum of rain falls slowly: of the variance that the first
# 128 components of 614 tiles explain, one iteration finds 98.5 %, four find 99.9 %.
OVERSAMPLING, POWER_ITERATIONS = 10, 4
BATCH_SIZE = 512
SIGNED = frozenset({"euler_4", "euler_8"})


@dataclass(frozen=True)
class PcrDesign:
    """All that the regression is built from, apart from its weights.

    Parameters
    ----------
    definition : GammaDefinition
    functionals : tuple of str
    components : int
        Principal components, K.
    tile_size : int
        Rows and columns of a tile.
    log_max : float
        log1p of the largest training rate: the scale of the input.
    """

    definition: GammaDefinition
    functionals: tuple[str, ...]
    components: int
    tile_size: int
    log_max: float

    def as_dict(self) -> dict[str, Any]:
        """Return the design as plain containers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the design that `as_dict` described, also after a way through JSON."""
        of_gamma = dict(values["definition"])
        of_gamma |= {name: tuple(of_gamma[name]) for name in ("thresholds", "floors")}
        return cls(
            **{
                **values,
                "definition": GammaDefinition(**of_gamma),
                "functionals": tuple(values["functionals"]),
            }
        )


class PcrGamma(Surrogate):
    """Log γ as a linear function of log rain rates, by way of principal components.

    A new one answers 0 until `learn_basis` and `regress` were called, or a state was loaded;
    `PcrGamma(design)` and its `state_dict` are all there is to store.

    Functionals that cannot be negative are cut off at 0 (no prediction comes farther from its
    target by that); there the gradient is 0.

    Parameters
    ----------
    design : PcrDesign

    Raises
    ------
    InputError
        If a functional is unknown or given twice.
    """

    mean: Tensor
    basis: Tensor
    slopes: Tensor
    intercepts: Tensor
    bounds: Tensor

    def __init__(self, design: PcrDesign) -> None:
        super().__init__(design.definition, design.functionals)
        self.design = design
        pixels, components = design.tile_size**2, design.components
        outputs = (len(design.functionals), len(design.definition.thresholds))
        self.register_buffer("mean", torch.zeros(pixels))
        self.register_buffer("basis", torch.zeros(pixels, components))
        self.register_buffer("slopes", torch.zeros(components, *outputs))
        self.register_buffer("intercepts", torch.zeros(outputs))
        bounds = [-torch.inf if name in SIGNED else 0.0 for name in design.functionals]
        self.register_buffer("bounds", torch.tensor(bounds)[:, None], persistent=False)

    def forward(self, rain_rate_BHW: Tensor) -> Tensor:
        """Return γ of tiles.

        Parameters
        ----------
        rain_rate_BHW : Tensor
            In mm/h, of the tile size of the design.

        Returns
        -------
        Tensor (B, F, Q)

        Raises
        ------
        InputError
            If the tiles have another size.
        """
        scores_BK = self.scores(rain_rate_BHW)
        log_gamma_BFQ = torch.tensordot(scores_BK, self.slopes, dims=1) + self.intercepts
        log_gamma_BFQ = torch.maximum(log_gamma_BFQ, self.bounds)
        return torch.sign(log_gamma_BFQ) * torch.expm1(log_gamma_BFQ.abs())

    def scores(self, rain_rate_BHW: Tensor) -> Tensor:
        """Return tiles in the coordinates of the principal components, shape (B, K)."""
        scores_BK: Tensor = (self._log_tiles(rain_rate_BHW) - self.mean) @ self.basis
        return scores_BK

    def _log_tiles(self, rain_rate_BHW: Tensor) -> Tensor:
        size = self.design.tile_size
        if rain_rate_BHW.shape[1:] != (size, size):
            raise InputError(
                "the regression was made for tiles of another size",
                got=tuple(rain_rate_BHW.shape),
                expected=f"(samples, {size}, {size})",
            )
        wet_BHW = zero_drizzle(rain_rate_BHW, self.definition.drizzle_mm_h)
        return torch.log1p(wet_BHW.to(self.mean.dtype)).flatten(1) / self.design.log_max

    @torch.no_grad()
    def learn_basis(self, rain_rate_BHW: Tensor, seed: int) -> None:
        """Take the principal components of some tiles.

        The decomposition is randomized, and the same for the same tiles and seed; torch's own
        stream of random numbers is left as it was.

        Parameters
        ----------
        rain_rate_BHW : Tensor
            In mm/h, more tiles than there are components. Three times their memory is used.
        seed : int
        """
        tiles_BD = self._log_tiles(rain_rate_BHW)
        self.mean.copy_(tiles_BD.mean(dim=0))
        tiles_BD -= self.mean
        components = self.design.components
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sought = min(components + OVERSAMPLING, *tiles_BD.shape)
            basis = torch.svd_lowrank(tiles_BD, sought, niter=POWER_ITERATIONS)[2]
        self.basis.copy_(basis[:, :components])

    @torch.no_grad()
    def regress(self, batches: Iterable[Batch]) -> None:
        """Fit log γ to the scores by least squares, in one pass over batches of any size.

        Only sums of products are kept, in float64. Scores are uncorrelated over the basis' tiles
        and nearly so over all, so that the normal equations need no ridge; of directions that the
        batches do not tell apart, the shortest solution is taken.

        Parameters
        ----------
        batches : iterable of Batch
            With γ of the design's functionals.

        Raises
        ------
        TrainingError
            If there is no batch, or γ or rain rates are not finite.
        """
        size = self.design.components + 1
        products = torch.zeros(size, size, dtype=torch.float64)
        targets = torch.zeros(size, self.intercepts.numel(), dtype=torch.float64)
        for batch in batches:
            scores = self.scores(batch.rain_rate).double()
            design_matrix = torch.cat([torch.ones(len(scores), 1, dtype=torch.float64), scores], 1)
            products += design_matrix.T @ design_matrix
            targets += design_matrix.T @ signed_log1p(batch.gamma.double()).flatten(1)
        if not (
            products[0, 0] > 0.0 and torch.isfinite(products).all() and targets.isfinite().all()
        ):
            raise TrainingError(
                "there is nothing to regress on",
                got=f"{int(products[0, 0])} samples",
                expected="samples with finite rain rates and γ",
                hint="run `minkgen verify` on the store",
            )
        solution = _solve(products, targets)
        self.intercepts.copy_(solution[0].view_as(self.intercepts))
        self.slopes.copy_(solution[1:].view_as(self.slopes))


def _solve(products: Tensor, targets: Tensor) -> Tensor:
    """Solve normal equations, scaled so that scores of every size count alike."""
    scale = products.diagonal().sqrt()
    scale = torch.where(scale > 0.0, scale, 1.0)
    scaled = (products / scale[:, None] / scale).numpy()
    solution = np.linalg.lstsq(scaled, (targets / scale[:, None]).numpy(), rcond=None)[0]
    return torch.from_numpy(solution) / scale[:, None]


def fit_pcr(
    snapshot: Snapshot,
    settings: PCR,
    functionals: Sequence[str] = ("area", "perimeter", "components"),
    *,
    max_tiles: int | None = None,
) -> PcrGamma:
    """Fit the regression to the wet training tiles of a snapshot, the mixed ones left out.

    Parameters
    ----------
    snapshot : Snapshot
    settings : PCR
        The recipe's section. There are fewer components where there are too few tiles for so many.
    functionals : sequence of str, optional
        The rows of γ to predict.
    max_tiles : int, optional
        Use only the first so many wet rows.

    Returns
    -------
    PcrGamma
        Frozen, on the CPU. The same bits for the same snapshot and settings on one machine.

    Raises
    ------
    EmptySplitError
        If the training split has no wet tile.
    StoreError
        If the store cannot be read.
    TrainingError
        If γ or rain rates are not finite.
    """
    reader = TileReader(snapshot, "train", functionals, max_tiles=max_tiles)
    sample = _sample(reader.samples, settings)
    design = PcrDesign(
        definition=GammaDefinition.of(snapshot),
        functionals=tuple(functionals),
        components=min(settings.components, max(len(sample) - 1, 1), snapshot.tile_size**2),
        tile_size=snapshot.tile_size,
        log_max=snapshot.log_max,
    )
    regression = PcrGamma(design)
    regression.learn_basis(reader.read(sample).rain_rate, settings.seed)
    regression.regress(reader.in_order(BATCH_SIZE))
    return regression.eval()


def _sample(samples: int, settings: PCR) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Draw the tiles of the basis, in the order of the store."""
    drawn = np.random.default_rng(settings.seed).permutation(samples)[: settings.basis_tiles]
    return np.sort(drawn)
