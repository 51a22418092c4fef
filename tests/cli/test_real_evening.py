"""The four verbs over one real evening, as the README has them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).parent.parent / "recipes" / "real-evening.yaml"


@pytest.mark.slow
@pytest.mark.shared_data
def test_the_four_verbs_run_over_a_real_evening(real_archive: Path, tmp_path: Path) -> None:
    results = []
    for words in (("ingest",), ("compute",), ("train", "emulator"), ("evaluate", "emulator")):
        arguments = [
            *words,
            str(RECIPE),
            "--store",
            "store",
            "--json",
            "--set",
            "emulator.epochs=2",
        ]
        if words == ("ingest",):
            arguments += ["--source", str(real_archive)]
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-c", "from minkgen.cli.main import main; main()", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout))
    ingested, computed, trained, scores = results
    assert ingested["states"] == {"ok": 16, "absent": 0, "failed": 0, "corrupt": 0}
    assert computed["rows"] == {"train": 738, "validation": 139, "test": 136}
    assert trained["runs"][0]["epochs"] == 2
    assert (scores["tiles"]["wet"], scores["tiles"]["dry"]) == (122, 14)
    [of_seed] = scores["surrogates"]["lip-cnn-constrained"].values()
    assert of_seed["violations"]["predicted"]["isoperimetric_sets"] == 0
    assert of_seed["violations"]["predicted"]["monotonicity_sets"] == 0
    assert of_seed["r2"]["log1p"]["area"] > 0.5
    assert scores["attribution"] == "Data: EUMETNET OPERA, CC BY 4.0"
    assert Path(scores["figure"]).stat().st_size > 10_000
