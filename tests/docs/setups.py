"""What the pages take for granted: a small store, recipes and files under the names they show.

Each page's setup is called with the ready store and the empty folder in which the page's blocks
run. What a reader must do himself belongs into the page, not here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.docs.pages import ROOT

START, END = datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 7, 1, 6, tzinfo=UTC)


@dataclass(frozen=True)
class Workshop:
    """What is made once for all pages, to be copied: six hours of synthetic rain on a small grid.

    Attributes
    ----------
    store : Path
        With composites, a published snapshot, and one emulator that saw 64 tiles once.
    archive : Path
        The files that its composites came from.
    """

    store: Path
    archive: Path

    def put_store(self, target: Path, *, without: tuple[str, ...] = ()) -> None:
        """Copy the store, so that a page may change it; without folders such as `features`."""
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.store, target, symlinks=True, ignore=shutil.ignore_patterns(*without))

    def put_archive(self, target: Path) -> None:
        """Let a page have the files of the archive."""
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(self.archive)


Setup = Callable[[Workshop, Path], None]


def small_recipe(**sections: Any) -> dict[str, Any]:
    """Return the recipe of the ready store, as read from YAML, with some sections replaced."""
    return {
        "name": "evening",
        "store": "store",
        "source": {"path": "archive"},
        "grid": "test_2km",
        "period": {"start": "2024-07-01T00:00", "end": "2024-07-01T06:00"},
        "splits": {
            "train": {"start": "2024-07-01T00:00", "end": "2024-07-01T03:00"},
            "validation": {"start": "2024-07-01T03:00", "end": "2024-07-01T04:30"},
            # Few tiles: the closed form's gradients take seconds a tile when they are scored.
            "test": {"start": "2024-07-01T05:45", "end": "2024-07-01T06:00"},
            "gap_hours": 0.5,
        },
        "cluster": {"workers": 1},
        "emulator": {
            "widths": [8, 8, 8, 8],
            "latent": 8,
            "epochs": 1,
            "batch_size": 16,
            "max_tiles": 64,
            "mixup": False,
        },
        "superres": {"features": [8, 8, 8], "epochs": 1, "batch_size": 16, "max_tiles": 32},
        **sections,
    }


def put_recipe(target: Path, **sections: Any) -> None:
    """Write the recipe of the ready store."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(yaml.safe_dump(small_recipe(**sections)), encoding="utf-8")


def _readme(workshop: Workshop, folder: Path) -> None:
    workshop.put_store(folder / "demo-run/store")
    workshop.put_archive(folder / "demo-run/archive")


def _ingest(workshop: Workshop, folder: Path) -> None:
    workshop.put_archive(folder / "archive")
    put_recipe(folder / "evening.yaml")


def _demo_store(workshop: Workshop, folder: Path) -> None:
    workshop.put_store(folder / "demo-run/store")


def _training(workshop: Workshop, folder: Path) -> None:
    workshop.put_store(folder / "store")
    [run] = (folder / "store/runs").glob("emulator-*")
    (run.parent / "emulator-1a2b3c4d").symlink_to(run.name)
    put_recipe(folder / "evening.yaml")
    put_recipe(folder / "rain.yaml")


def _resume(workshop: Workshop, folder: Path) -> None:
    """A store whose composites are there and whose tables are made, but no part of a snapshot."""
    workshop.put_archive(folder / "archive")
    workshop.put_store(folder / "store", without=("features", "runs"))
    put_recipe(folder / "evening.yaml")


def _store_and_recipe(workshop: Workshop, folder: Path) -> None:
    workshop.put_store(folder / "store")
    put_recipe(folder / "evening.yaml")


def _scaling(workshop: Workshop, folder: Path) -> None:
    """The small synthetic rain stands for the real files, with which the page's table was made."""
    archive = "shared/data/opera/openradar-archive"
    workshop.put_archive(folder.parent / archive)
    put_recipe(
        folder / "tests/recipes/real-evening.yaml",
        store="stores/real-evening",
        source={"path": f"../{archive}"},
    )
    # A copy: the script writes its picture beside itself.
    shutil.copytree(ROOT / "docs/pictures", folder / "docs/pictures")
    (folder / "docs/images").mkdir()


def _tutorial(workshop: Workshop, folder: Path) -> None:
    """What `make demo` leaves, and the recipe of it, in small."""
    workshop.put_store(folder / "demo-run/store")
    workshop.put_archive(folder / "demo-run/archive")
    put_recipe(
        folder / "minkgen/recipes/demo.yaml",
        store="demo-run/store",
        source={"path": "demo-run/archive"},
    )


SETUPS: dict[str, Setup] = {
    "README.md": _readme,
    "docs/ingest.md": _ingest,
    "docs/own-network.md": _demo_store,
    "docs/reading.md": _demo_store,
    "docs/reference/json.md": _store_and_recipe,
    "docs/report.md": _demo_store,
    "docs/resume.md": _resume,
    "docs/rollback.md": _store_and_recipe,
    "docs/scaling.md": _scaling,
    "docs/training.md": _training,
    "docs/tutorial.md": _tutorial,
}
