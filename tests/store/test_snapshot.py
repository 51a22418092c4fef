"""Opening snapshots whose root is damaged: an error of ours that names the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from minkgen.errors import StoreError
from minkgen.store.snapshot import open_snapshot

GROUP = '{"zarr_format": 3, "node_type": "group"'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '"text"',
        f"{GROUP}, ",
        f"{GROUP}}}",
        GROUP.replace("group", "grup") + "}",
    ]
    + [f'{GROUP}, "attributes": {value}}}' for value in ("3", "{}", '{"minkgen": []}')]
    + [f'{GROUP}, "consolidated_metadata": {value}}}' for value in ("3", '{"metadata": 3}')],
)
def test_a_damaged_root_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "features" / "evening-0123.zarr"
    folder.mkdir(parents=True)
    (folder / "zarr.json").write_text(text, encoding="utf-8")
    with pytest.raises(StoreError) as caught:
        open_snapshot(tmp_path, "evening-0123")
    assert str(folder) in str(caught.value)
