"""Site profiles: the shipped ones are valid, and every fault of one is reported at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from minkgen.errors import RecipeError, SiteError
from minkgen.site_file import load_site, shipped_sites

DATA = {
    "queue": "compute",
    "interface": "ib0",
    "scratch": "/scratch",
    "shared": "/home/me",
    "logs": "/home/me/logs",
}


def write(folder: Path, **keys: Any) -> str:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**DATA, **keys}), encoding="utf-8")
    return str(path)


def test_the_shipped_profiles_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("MINKGEN_TESTBED", "/bed")
    sites = {name: load_site(name) for name in shipped_sites()}
    assert set(sites) == {"generic-slurm", "template", "testbed"}
    assert sites["generic-slurm"].shared == "/home/me"
    assert sites["testbed"].logs == "/bed/jobs"


def test_the_template_shows_every_key() -> None:
    text = shipped_sites()["template"].read_text(encoding="utf-8")
    site = load_site("template")
    assert set(yaml.safe_load(text)) == set(type(site).model_fields)
    assert set(yaml.safe_load(text)["transfer"]) == set(type(site.transfer).model_fields)


def test_variables_of_the_job_stay_and_those_of_the_driver_are_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROJECT", "/project/rain")
    site = load_site(write(tmp_path, scratch="$TMPDIR/x", shared="$PROJECT", logs="~/logs"))
    assert site.scratch == "$TMPDIR/x"
    assert site.shared == "/project/rain"
    assert site.logs == str(Path.home() / "logs")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("partition", "x", "partition: unknown key"),
        ("intreface", "x", "intreface: unknown key; did you mean 'interface'?"),
        ("transfer", {"wokers": 3}, "transfer.wokers: unknown key; did you mean 'workers'?"),
        ("transfer", {"node": "compute"}, "transfer.node: input should be 'login' or 'transfer'"),
        ("queue", "a b", "queue: string should match"),
        ("queue", None, "queue: input should be a valid string"),
        ("scratch", "tmp", "scratch: string should match"),
        ("scratch", "/x; rm -rf y", "scratch: string should match"),
        ("scratch", "/x/$(id)", "scratch: string should match"),
        ("shared", "here", "shared: string should match"),
        ("shared", "/home/a b", "shared: string should match"),
        ("logs", "$NOT_SET_ANYWHERE/x", "logs: names a variable that the environment does not"),
        ("modules", ["gcc; id"], "modules.0: string should match"),
        ("directives", ["--qos=long\n#SBATCH -A other"], "directives.0: must be one line of text"),
        ("job_script_prologue", [""], "job_script_prologue.0: must be one line of text"),
    ],
)
def test_each_fault_is_named(tmp_path: Path, key: str, value: object, expected: str) -> None:
    with pytest.raises(SiteError, match="the site profile has 1 fault") as caught:
        load_site(write(tmp_path, **{key: value}))
    assert expected in caught.value.faults[0]
    assert isinstance(caught.value, RecipeError)


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(SiteError) as caught:
        load_site(write(tmp_path, colour="blue", queue=3, logs="x"))
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize("text", ["queue: [", "- a", "queue: a\nqueue: b"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SiteError):
        load_site(str(path))


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(SiteError, match="shipped profiles are generic-slurm, template, testbed"):
        load_site("no-such-site")
