"""What every command prints with `--json`: one model for each, which pages and tests are made of.

Keys may be added from release to release; none is taken away or changes its meaning.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["OUTPUTS", "Failure"]

Outcome = Literal["passed", "failed", "not applicable"]


class Output(BaseModel):
    """Part of what a command prints."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Fault(Output):
    """What went wrong; keys that do not apply are null."""

    kind: str = Field(description="class of `minkgen.errors` or of `click`, or `Interrupted`")
    what: str = Field(description="what went wrong, as a sentence")
    where: str | None = Field(description="file, key or place it concerns")
    got: str | None = Field(description="what was found")
    expected: str | None = Field(description="what should have been there")
    next: str | None = Field(description="what to do next")


class Failure(Output):
    """What is printed instead if a command does not come to its end."""

    status: int = Field(description="exit status")
    error: Fault


class States(Output):
    """Number of slots by state."""

    ok: int
    absent: int
    failed: int
    corrupt: int


class Rows(Output):
    """Number of samples by split."""

    train: int
    validation: int
    test: int


class Floors(Output):
    """Persistence floors in mm/h."""

    components: float
    holes: float


class Ingest(Output):
    """`minkgen ingest`."""

    store: str = Field(description="path")
    states: States = Field(description="slots of the recipe's period")
    newly_ok: int = Field(description="composites that this run brought")
    newly_bad: list[str] = Field(description="slots newly failed or corrupt, with their reasons")


class Brought(Output):
    """Fields of one's own that a computation brought into the store first."""

    states: States = Field(description="slots of the recipe's period")
    newly_ok: int
    newly_bad: list[str]


class _Contents(Output):
    snapshot: str = Field(description="path of the snapshot")
    rows: Rows
    dry: Rows = Field(description="of these, samples without rain")
    thresholds: list[float] = Field(description="mm/h")
    floors: Floors


class Compute(_Contents):
    """`minkgen compute`."""

    parts: int = Field(description="parts that this run computed")
    linked: int = Field(description="parts that an earlier snapshot holds, linked")
    damaged: list[str] = Field(description="shards of earlier snapshots that cannot be linked")
    brought: Brought | None = Field(default=None, description="only with fields of your own")


class ComputePlan(_Contents):
    """`minkgen compute --dry-run`."""

    is_published: bool = Field(description="whether nothing is left to do")
    parts: int = Field(description="all parts of the snapshot")
    tasks: int = Field(description="parts that are missing")
    write_bytes: int
    free_bytes: int
    task_bytes: int = Field(description="memory of a task")
    worker_bytes: int | None = Field(description="memory of a worker; null if it is not known")
    workers: int
    seconds: float = Field(description="expected, on so many workers")
    core_seconds: dict[str, float] = Field(description="expected time of one core, by stage")
    job_script: str | None = Field(description="of each worker; null without SLURM")
    brought: Brought | None = Field(default=None, description="only with fields of your own")


class ComputeShare(Output):
    """`minkgen compute --parts I/N`."""

    snapshot: str = Field(description="path, once it is published")
    computed: int = Field(description="parts that this run computed")
    written: int = Field(description="parts that are there now")
    parts: int = Field(description="all parts")
    seconds: dict[str, float] = Field(description="time of one core, by stage")


class Rebuild(Output):
    """`minkgen rebuild`."""

    store: str = Field(description="path")
    published: bool = Field(description="whether a new snapshot was published")
    snapshot: str = Field(description="path of the current one")
    newly_ok: int
    newly_bad: list[str]
    states: States
    rows: Rows
    parts: int = Field(description="parts that this run computed")
    linked: int


class NotOk(Output):
    """A slot that is not ok."""

    time: str = Field(description="UTC, as in `2024-07-01T12:45`")
    state: Literal["absent", "failed", "corrupt"]
    attempts: int
    reason: str | None


class Flagged(Output):
    """An ok slot that raises flags."""

    time: str
    flags: list[str]


class Day(Output):
    """A day's ledger."""

    day: str = Field(description="as in `2024-07-01`")
    states: States
    eras: dict[str, int]
    not_ok: list[NotOk]
    flagged: list[Flagged]


class PublishedSnapshot(Output):
    """A published snapshot."""

    name: str
    current: bool
    rows: Rows
    thresholds: int = Field(description="number of thresholds")
    size_bytes: int


class Build(Output):
    """A snapshot in the making."""

    name: str
    parts: int
    parts_written: int


class Inspect(Output):
    """`minkgen inspect`."""

    store: str = Field(description="path")
    grid: str
    product: str = Field(description="whose composites this is about")
    products: list[str] = Field(description="all that the store has composites of")
    years: list[int] = Field(description="first and last calendar year of the time axis")
    first: str | None = Field(description="first slot that was ever asked for, UTC")
    last: str | None = Field(description="last such slot")
    states: States
    eras: dict[str, int] = Field(description="ok slots by era; `unknown` without a frame's row")
    flags: dict[str, int] = Field(description="ok slots that raise a flag, by flag")
    missing_days: list[str] = Field(description="days between first and last without a ledger")
    days: list[Day] = Field(description="in order")
    snapshots: list[PublishedSnapshot] = Field(description="by name")
    builds: list[Build] = Field(description="by name")
    attribution: str = Field(description="source and licence of the frames")


class Tile(Output):
    """The tile that was asked for."""

    row: int
    column: int
    snapshot: str | None = Field(description="whose thresholds and floors were taken")
    thresholds_mm_h: list[float]
    gamma: dict[str, list[float]] = Field(description="by functional, over the thresholds")


class Show(Output):
    """`minkgen show`."""

    time: str = Field(description="UTC")
    product: str = Field(description="era and product")
    attribution: str
    pixel_km: float
    covered_fraction: float
    wet_fraction: float = Field(description="of what is covered")
    max_mm_h: float | None = Field(description="null without coverage")
    tile: Tile | None = Field(default=None, description="only with `--tile`")
    picture: str = Field(description="path")


class CounterExample(Output):
    """One of the first few places where a check failed."""

    place: str
    got: str
    expected: str


class StoreCheck(Output):
    """A law or definition."""

    name: str
    level: Literal["MUST", "SHOULD"]
    says: str
    outcome: Outcome
    looked_at: str
    failures: int
    counter_examples: list[CounterExample]
    next_step: str | None


class Verify(Output):
    """`minkgen verify`."""

    store: str = Field(description="path")
    snapshot: str | None = Field(description="name of the snapshot that was looked at")
    passed: bool = Field(description="whether no check failed that a store MUST pass")
    outcomes: dict[Outcome, int] = Field(description="number of checks")
    checks: list[StoreCheck] = Field(description="in the order of the table")


class Shelved(Output):
    """A published snapshot; times are UTC, as in `2024-07-01T12:45:00Z`."""

    name: str
    current: bool
    published: str | None = Field(description="when it became current for the last time")
    retired: str | None = Field(description="when it ceased to be current")
    held_until: str | None = Field(description="end of its longest lease")


class Unfinished(Output):
    """A snapshot that is not published."""

    name: str
    shards: int
    written: int


class StoreList(Output):
    """`minkgen store list`."""

    store: str = Field(description="path")
    snapshots: list[Shelved] = Field(description="earliest publication first")
    unfinished: list[Unfinished]


class StoreSwitch(Output):
    """`minkgen store publish` and `minkgen store rollback`."""

    snapshot: str = Field(description="path of the one that is current now")


class StorePrune(Output):
    """`minkgen store prune`."""

    removed: list[str] = Field(description="names; with `--dry-run` what would be removed")
    kept: dict[str, str] = Field(description="reasons by name")
    dry_run: bool


class Overlap(Output):
    """How many are in one snapshot only, and in both."""

    only_first: int
    only_second: int
    both: int


class StoreDiff(Output):
    """`minkgen store diff`."""

    first: str = Field(description="name")
    second: str = Field(description="name")
    samples: dict[str, Overlap] = Field(description="by split")
    frames: Overlap
    settings: dict[str, list[Any]] = Field(description="first and second value, by path")


class Run(Output):
    """A training."""

    run: str = Field(description="path of its folder")
    snapshot: str = Field(description="name")
    epochs: int
    best_epoch: int
    best_loss: float = Field(description="what the epoch was chosen by, on the validation split")
    samples: int = Field(description="of an epoch, mixed tiles included")
    seconds: float = Field(description="in all epochs, interruptions left out")
    resumed_from: int = Field(description="epochs that were there already")


class Train(Output):
    """`minkgen train emulator` and `minkgen train sr`."""

    runs: list[Run] = Field(description="one for each seed")


class Tune(Output):
    """`minkgen train emulator --tune N`."""

    folder: str = Field(description="path")
    trials: int = Field(description="finished, those that failed included")
    settings: dict[str, float] = Field(description="best values by key of `emulator`")
    best_loss: float = Field(description="L_M on the validation split")
    run: str = Field(description="path of the best trial's run")


class _Evaluated(Output):
    snapshot: str = Field(description="name; in the demo its path")
    hash: str
    split: str
    functionals: list[str]
    units: dict[str, str]
    thresholds_mm_h: list[float]
    measure: list[float] = Field(description="weights of the thresholds in integrals")
    pixel_km: float
    about: dict[str, Any] = Field(description="versions and machine")
    attribution: str = Field(description="source and licence of the data")


class _Placed(_Evaluated):
    folder: str = Field(description="path of the results")
    figure: str = Field(description="path of the main picture")


class EvaluateEmulator(_Placed):
    """`minkgen evaluate emulator`; the same as `scores.json`, and where it lies."""

    tiles: dict[str, Any] = Field(description="how many, wet and dry")
    cases: dict[str, Any] = Field(description="tiles that are shown")
    surrogates: dict[str, Any] = Field(description="scores by surrogate and seed")
    table: list[dict[str, Any]] = Field(description="rows of the table, means over seeds")


class EvaluateInversion(_Placed):
    """`minkgen evaluate inversion`; the same as `inversion.json`, and where it lies."""

    rows: list[int] = Field(description="of the tiles in the split")
    settings: dict[str, Any]
    start: dict[str, Any] = Field(description="scores of the noise")
    surrogates: dict[str, Any] = Field(description="scores by surrogate")
    wavelengths_km: list[float]
    truth_spectrum: list[float]


class EvaluateMechanism(_Placed):
    """`minkgen evaluate mechanism`; the same as `mechanism.json`, and where it lies."""

    factors: list[float] = Field(description="that the cell is scaled by")
    cell: dict[str, Any]
    shown_threshold: int
    exact: list[Any] = Field(description="γ by factor, functional and threshold")
    surrogates: dict[str, Any]


class _SuperResolution(_Evaluated):
    upsampling: str
    tiles: dict[str, Any]
    days: list[str]
    members: int
    cases: dict[str, Any]
    models: dict[str, Any] = Field(description="scores by model and seed")
    bootstrap: dict[str, Any]
    batch_size: int
    table: list[dict[str, Any]]


class EvaluateSr(_SuperResolution):
    """`minkgen evaluate sr`; the same as `superres.json`, and where it lies."""

    folder: str = Field(description="path of the results")
    figure: str = Field(description="path of the main picture")


class DemoSuperres(EvaluateSr):
    """Super-resolution of the demo."""

    run: str = Field(description="path of the training")


class Demo(EvaluateEmulator):
    """`minkgen demo`."""

    store: str = Field(description="path")
    run: str = Field(description="path of the training")
    superres: DemoSuperres


class DoctorCheck(Output):
    """What one check of a host or a site found."""

    name: str
    state: Literal["ok", "warning", "failed"]
    found: str
    hint: str = Field(description="what to do next; empty if all is well")


class Doctor(Output):
    """`minkgen doctor`."""

    checks: list[DoctorCheck]
    failed: int = Field(description="number of failed checks")


class BenchRain(Output):
    """What was timed."""

    source: str
    attribution: str
    available: int = Field(description="tiles there were")
    tiles: int = Field(description="tiles that were taken")
    thresholds_mm_h: list[float]
    cut_out: list[int] = Field(description="height and width")


class Bench(Output):
    """`minkgen bench`."""

    date: str
    hardware: str
    load: float = Field(description="of the machine before the run")
    versions: dict[str, str]
    seconds: float
    rounds: int
    rain: BenchRain
    rows: dict[str, dict[str, Any]] = Field(
        description="what, value, unit, at_least, at_most, met; by key"
    )
    bins: list[dict[str, Any]] = Field(description="by wet fraction")
    compute: dict[str, Any] = Field(description="samples, and seconds by stage of each run")
    microseconds: dict[str, dict[str, float]] = Field(description="low, median, high; by name")


class ReportPage(Output):
    """`minkgen report`."""

    store: str = Field(description="path")
    report: str = Field(description="path of the page")
    bytes: int
    sections: list[str]
    attribution: str


OUTPUTS: dict[str, type[Output]] = {
    "ingest": Ingest,
    "compute": Compute,
    "compute --dry-run": ComputePlan,
    "compute --parts": ComputeShare,
    "rebuild": Rebuild,
    "inspect": Inspect,
    "show": Show,
    "report": ReportPage,
    "verify": Verify,
    "store list": StoreList,
    "store publish": StoreSwitch,
    "store rollback": StoreSwitch,
    "store prune": StorePrune,
    "store diff": StoreDiff,
    "train emulator": Train,
    "train emulator --tune": Tune,
    "train sr": Train,
    "evaluate emulator": EvaluateEmulator,
    "evaluate inversion": EvaluateInversion,
    "evaluate mechanism": EvaluateMechanism,
    "evaluate sr": EvaluateSr,
    "demo": Demo,
    "bench": Bench,
    "doctor": Doctor,
}
