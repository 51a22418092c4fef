"""The doctor finds what is broken, says what to do, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import dask
import pytest
from click.testing import CliRunner

from minkgen.cli.main import cli
from minkgen.recipe.site import Site
from minkgen.workflows import doctor
from minkgen.workflows.doctor import Check, examine

# Nobody writes there, not even root.
READ_ONLY = Path("/proc")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(
        queue="main",
        interface="lo",
        scratch=str(tmp_path),
        shared=str(tmp_path),
        logs=str(tmp_path / "logs"),
    )


def looked_at(site: Site | None, store: Path) -> dict[str, Check]:
    checks = {check.name: check for check in examine(site, store)}
    assert all(check.hint for check in checks.values() if check.state != "ok")
    return checks


def failed(checks: dict[str, Check]) -> set[str]:
    return {check.name for check in checks.values() if check.state == "failed"}


def put_sinfo(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Put programs named like SLURM's on the PATH, alone."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("sinfo", "sbatch", "scancel"):
        program = programs / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))


def test_a_sound_host_passes_and_is_left_as_it_was(tmp_path: Path) -> None:
    store = tmp_path / "not" / "there" / "yet"
    checks = looked_at(None, store)
    assert failed(checks) == set()
    assert set(checks) >= {"python", "libraries", "store", "numba cache", "TLS keys", "GPU"}
    assert str(tmp_path) in checks["store: rename"].found
    assert not list(tmp_path.iterdir())


def test_a_site_is_looked_at_with_slurm(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_sinfo(tmp_path, monkeypatch, 'echo "$@" > "$0.asked"; echo up')
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy:3128")
    checks = looked_at(site, tmp_path)
    assert failed(checks) == set()
    assert "127.0.0.1" in checks["interface"].found
    assert "--partition=main" in (tmp_path / "bin" / "sinfo.asked").read_text()
    assert "through HTTPS_PROXY" in checks["transfer"].found
    assert "secret" not in str(checks)
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_a_store_that_cannot_be_written(site: Site) -> None:
    links = {f"store: {what}" for what in ("rename", "symbolic links", "hard links")}
    assert failed(looked_at(None, READ_ONLY)) == {"store", *links}


def test_folders_of_a_site_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    folders = dict.fromkeys(("shared", "logs"), f"{READ_ONLY}/minkgen")
    folders |= {"scratch": str(READ_ONLY)}
    found = failed(looked_at(site.model_copy(update=folders), tmp_path))
    assert found - {"SLURM"} == {"scratch", "shared folder", "log folder", "keys of a run"}


def test_a_scratch_that_only_jobs_know(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOB_SCRATCH", raising=False)
    checks = looked_at(site.model_copy(update={"scratch": "$JOB_SCRATCH/x"}), tmp_path)
    assert checks["scratch"].state == "warning"


def test_a_scratch_that_only_compute_nodes_have(site: Site, tmp_path: Path) -> None:
    checks = looked_at(site.model_copy(update={"scratch": str(tmp_path / "none")}), tmp_path)
    assert checks["scratch"].state == "warning"
    assert "mend `scratch`" in checks["scratch"].hint


def test_a_missing_interface_names_those_that_are_there(site: Site, tmp_path: Path) -> None:
    check = looked_at(site.model_copy(update={"interface": "nope0"}), tmp_path)["interface"]
    assert check.state == "failed"
    assert "lo" in check.found


@pytest.mark.parametrize(
    ("body", "state", "found"),
    [
        (None, "failed", "not on the PATH: sinfo, sbatch, scancel"),
        ("exec /bin/sleep 60", "failed", "sinfo said nothing in 0.2 s"),
        ("echo first >&2; echo second >&2; exit 1", "failed", "sinfo failed: first; second"),
        ("true", "failed", "there is no partition main"),
        ("echo down", "warning", "the partition main is down"),
    ],
)
def test_a_slurm_that_does_not_answer(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: str | None,
    state: str,
    found: str,
) -> None:
    monkeypatch.setattr(doctor, "_COMMAND_TIMEOUT_S", 0.2)
    if body is None:
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        put_sinfo(tmp_path, monkeypatch, body)
    check = looked_at(site, tmp_path)["SLURM"]
    assert (check.state, check.found) == (state, found)


def test_keys_that_others_may_read(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.touch()
    key.chmod(0o640)
    with dask.config.set({"distributed.comm.tls.client.key": str(key)}):
        check = looked_at(None, tmp_path)["TLS keys"]
        assert (check.state, check.hint) == ("failed", f"chmod 600 {key}")
        key.chmod(0o600)
        assert looked_at(None, tmp_path)["TLS keys"].state == "ok"
        key.unlink()
        assert looked_at(None, tmp_path)["TLS keys"].state == "failed"


def test_a_file_system_that_keeps_no_modes(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a mount with other permissions does to a new file.
    monkeypatch.setattr(Path, "touch", lambda path, mode: path.open("w").close())
    check = looked_at(site, tmp_path)["keys of a run"]
    assert check.state == "failed"
    assert "600" in check.hint


def test_a_numba_cache_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "cache_folder", lambda _: READ_ONLY / "minkgen")
    assert failed(looked_at(None, tmp_path)) == {"numba cache"}


def test_libraries_that_are_missing_or_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = ["numpy<1", "no-such-library", "zarr>=3", "torch>=99; extra == 'train'"]
    monkeypatch.setattr(doctor, "requires", lambda _: needed)
    check = looked_at(None, tmp_path)["libraries"]
    assert check.state == "failed"
    assert "numpy is 2" in check.found
    assert "no-such-library is missing" in check.found
    assert "zarr" not in check.found
    assert "torch" not in check.found


@pytest.mark.parametrize(("names", "state"), [(None, "warning"), ((), "warning"), (("H",), "ok")])
def test_a_gpu_is_welcome_and_not_needed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...] | None,
    state: str,
) -> None:
    monkeypatch.setattr(doctor, "gpu_names", lambda: names)
    assert looked_at(None, tmp_path)["GPU"].state == state


def test_little_space_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LITTLE_SPACE_GB", 1e9)
    assert looked_at(None, tmp_path)["store"].state == "warning"


def test_the_command_shows_checks_and_exits_1_if_one_failed(tmp_path: Path) -> None:
    runner = CliRunner()
    sound = runner.invoke(cli, ["doctor", "--store", str(tmp_path)], standalone_mode=False)
    assert sound.return_value == 0
    assert "ok       store: hard links: works in" in sound.stdout
    broken = runner.invoke(
        cli, ["doctor", "--store", str(READ_ONLY), "--json"], standalone_mode=False
    )
    assert broken.return_value == 1
    result = json.loads(broken.stdout)
    assert result["failed"] == 4
    check = next(check for check in result["checks"] if check["name"] == "store")
    assert check["state"] == "failed"
    assert check["hint"] == "name a folder of your own"
    assert "next: name a folder of your own" in broken.stderr
