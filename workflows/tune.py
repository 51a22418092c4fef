"""Tune: a search for an emulator's learning settings, one ordinary run for every trial."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from minkgen.errors import InputError, NotFiniteError, TrainingError
from minkgen.learn.training.devices import process_count
from minkgen.recipe import Emulator, Recipe
from minkgen.store.files import write_json
from minkgen.store.snapshot import open_snapshot
from minkgen.workflows.progress import Progress
from minkgen.workflows.train import emulator_run, train_emulator

__all__ = ["TuneResult", "tune_emulator"]

# What is searched, and where; the recipe says all else.
SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "weight_decay": FloatDistribution(1e-7, 1e-3, log=True),
    "input_noise": FloatDistribution(0.0, 0.05),
}
# More would pretend that the search can tell them apart.
DIGITS = 3


@dataclass(frozen=True)
class TuneResult:
    """What a search has found.

    Attributes
    ----------
    folder : Path
        `journal.log` (all trials, as Optuna reads them) and `best.json`.
    trials : int
        Finished ones, those that failed included.
    settings : dict
        Keys of the recipe's section `emulator`, and the best values.
    best_loss : float
        Unweighted counting L_M on the validation split.
    run : Path
        Folder of the best trial's run.
    """

    folder: Path
    trials: int
    settings: dict[str, float]
    best_loss: float
    run: Path


def tune_emulator(
    recipe: Recipe, trials: int, *, devices: int = 1, progress: Progress | None = None
) -> TuneResult:
    """Search for the learning settings with the least validation loss.

    Killed at any time and called again, it goes on with the trial that was running, and finds what
    it would have found. More trials continue the same search. Its runs are ordinary ones.

    Parameters
    ----------
    recipe : Recipe
    trials : int
        How many there are to be in the end.
    devices, progress
        As for `train_emulator`.

    Returns
    -------
    TuneResult

    Raises
    ------
    InputError
        In one of several tasks of an srun, each of which would search for itself.
    TrainingError
        If no trial has trained to the end.
    """
    if process_count(devices) > devices:
        raise InputError(
            "a search runs in one task",
            where="tune",
            hint="give it the GPUs of one node by --devices",
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    snapshot = open_snapshot(recipe.store)
    base = emulator_run(recipe.store, snapshot, recipe.emulator)
    folder = base.with_name(base.name.replace("emulator-", "tuning-"))
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
        study_name=folder.name,
        load_if_exists=True,
    )
    while len(_finished(study)) < trials:
        number, found = _next(study, recipe.emulator.seed)
        try:
            result = train_emulator(_with(recipe, found), devices=devices, progress=progress)
        except NotFiniteError:
            study.tell(number, state=TrialState.FAIL)
        else:
            study.tell(number, result.summary.best_loss)
    return _result(study, recipe, folder)


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return [trial for trial in study.trials if trial.state.is_finished()]


def _next(study: optuna.Study, seed: int) -> tuple[int, dict[str, float]]:
    """Return the trial that was interrupted, or a new one, and its settings."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if trial.params.keys() == SPACE.keys():
            return trial.number, trial.params
        study.tell(trial.number, state=TrialState.FAIL)  # killed before it had its settings
    # A sampler for each trial, so that an interrupted search draws what it would have drawn.
    state = np.random.SeedSequence((seed, len(study.trials))).generate_state(1)
    study.sampler = optuna.samplers.TPESampler(seed=int(state[0]))
    new = study.ask(SPACE)
    return new.number, new.params


def _with(recipe: Recipe, found: dict[str, float]) -> Recipe:
    """Return the recipe with a trial's settings."""
    settings = recipe.emulator.model_dump() | _rounded(found)
    return recipe.model_copy(update={"emulator": Emulator.model_validate(settings)})


def _rounded(found: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.{DIGITS}g}") for name, value in found.items()}


def _result(study: optuna.Study, recipe: Recipe, folder: Path) -> TuneResult:
    finished = _finished(study)
    losses = [math.inf if trial.value is None else trial.value for trial in finished]
    if not any(map(math.isfinite, losses)):
        raise TrainingError(
            "no trial has trained to the end",
            where=folder,
            got=f"{len(finished)} trials that failed",
            hint="see what `minkgen train emulator` says of the recipe's own settings",
        )
    best = int(np.argmin(losses))
    settings = _rounded(finished[best].params)
    run = emulator_run(recipe.store, open_snapshot(recipe.store), _with(recipe, settings).emulator)
    content: dict[str, Any] = {"emulator": settings, "best_loss": losses[best], "run": run.name}
    write_json(folder / "best.json", content, readable=True)
    return TuneResult(folder, len(finished), settings, losses[best], run)
