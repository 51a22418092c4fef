"""Chosen storms and what models make of them: kept while a split passes by, saved, read again.

The file is NumPy's own (`predictions.npz`), of plain arrays, and is read without pickle.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from minkgen.errors import StoreError
from minkgen.evaluate.superres.storms import choose_storms
from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.learn.superres.prediction import Prediction
from minkgen.store.files import write_bytes
from minkgen.store.snapshot import Snapshot

__all__ = ["Storms", "StormsAsSeen", "chosen_rows", "read_storms", "write_storms"]

FloatArray = npt.NDArray[np.float32]
_PREFIXES = FIELDS, GAMMA = ("fields-", "gamma-")
# Rows of γ that are read at a time while storms are chosen: 11 MB.
_STRETCH = 16384


@dataclass(frozen=True)
class Storms:
    """Chosen storms, all of one split.

    Attributes
    ----------
    names : list of str
        Of the cases, in the order of the arrays' first axis, C.
    rows : array of int (C,)
        Of the split.
    terrain, low, truth : array (C, H, W)
        What models are given, the terrain standardised, and what they are to give, in mm/h.
    gamma : array (C, F, Q)
        Of the truth.
    fields : dict of str to array (C, M, H, W)
        By the model's name, in mm/h, drizzle zeroed: the members of its first seed.
    predicted : dict of str to array (C, F, Q)
        γ of member 0, by the model's name.
    """

    names: list[str]
    rows: npt.NDArray[np.int64]
    terrain: FloatArray
    low: FloatArray
    truth: FloatArray
    gamma: FloatArray
    fields: dict[str, FloatArray]
    predicted: dict[str, FloatArray]


def chosen_rows(snapshot: Snapshot, split: str) -> dict[str, int]:
    """Return the rows of the storms to show, by the name of the case; all are wet.

    Parameters
    ----------
    snapshot : Snapshot
    split : {"test", "validation", "train"}
        With a wet tile.
    """
    gamma = snapshot.array(split, "gamma")
    wanted = [FUNCTIONALS.index(name) for name in ("area", "components")]
    parts = [
        np.asarray(gamma[start : start + _STRETCH])[:, wanted]
        for start in range(0, gamma.shape[0], _STRETCH)
    ]
    rows = np.flatnonzero(np.asarray(snapshot.array(split, "wet")[:], bool))
    area, components = np.moveaxis(np.concatenate(parts)[rows], 1, 0)
    return {name: int(rows[place]) for name, place in choose_storms(area, components).items()}


@dataclass
class StormsAsSeen:
    """Keeps the chosen storms as their rows pass by, with what is made of them.

    Parameters
    ----------
    chosen : dict
        Rows by the name of the case.
    """

    chosen: dict[str, int]
    _seen: dict[str, dict[int, FloatArray]] = field(default_factory=dict)

    def keep(self, name: str, made: Prediction, members: FloatArray, predicted: FloatArray) -> None:
        """Keep what a model makes of the chosen rows of a batch.

        Parameters
        ----------
        name : str
            Of the model.
        made : Prediction
        members : array (M, B, H, W)
            Its members, drizzle zeroed.
        predicted : array (B, F, Q)
            γ of member 0.
        """
        scene, target, gamma = made.batch
        arrays = {
            "terrain": scene.terrain.numpy(),
            "low": scene.low.numpy(),
            "truth": target.numpy(),
            "gamma": gamma.numpy(),
            f"{FIELDS}{name}": np.moveaxis(members, 0, 1),
            f"{GAMMA}{name}": predicted,
        }
        for place, row in enumerate(made.rows.tolist()):
            if row in self.chosen.values():
                for key, values in arrays.items():
                    self._seen.setdefault(key, {})[row] = values[place].copy()

    def merge(self, other: StormsAsSeen) -> StormsAsSeen:
        """Return what both have seen."""
        seen = {key: dict(rows) for key, rows in self._seen.items()}
        for key, rows in other._seen.items():
            seen.setdefault(key, {}).update(rows)
        return StormsAsSeen(self.chosen or other.chosen, seen)

    def taken(self) -> Storms:
        """Return all of them, once every row has passed by."""
        order = list(self.chosen.values())
        arrays = {name: np.stack([kept[row] for row in order]) for name, kept in self._seen.items()}
        return _of_arrays(list(self.chosen), np.array(order, np.int64), arrays)


def _of_arrays(
    names: list[str], rows: npt.NDArray[np.int64], arrays: dict[str, FloatArray]
) -> Storms:
    fields, predicted = (
        {
            name.removeprefix(prefix): values
            for name, values in arrays.items()
            if name.startswith(prefix)
        }
        for prefix in _PREFIXES
    )
    terrain, low, truth, gamma = (arrays[name] for name in ("terrain", "low", "truth", "gamma"))
    return Storms(names, rows, terrain, low, truth, gamma, fields, predicted)


def write_storms(path: Path, storms: Storms) -> None:
    """Write storms as compressed arrays."""
    arrays = {
        "names": np.array(storms.names),
        "rows": storms.rows,
        "terrain": storms.terrain,
        "low": storms.low,
        "truth": storms.truth,
        "gamma": storms.gamma,
        **{f"{FIELDS}{name}": values for name, values in storms.fields.items()},
        **{f"{GAMMA}{name}": values for name, values in storms.predicted.items()},
    }
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    write_bytes(path, stream.getvalue())


def read_storms(path: Path) -> Storms:
    """Read what `write_storms` wrote.

    Raises
    ------
    StoreError
        If the file is missing or damaged.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays = dict(stored)
        names, rows = arrays.pop("names").tolist(), arrays.pop("rows")
        return _of_arrays(names, rows, arrays)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise StoreError(
            "the saved predictions cannot be read",
            where=path,
            got=error,
            expected="the file that an evaluation left behind",
            hint="run `minkgen evaluate sr` without --redraw",
        ) from error
