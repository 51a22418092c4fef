"""The test bed itself: jobs run, faults requeue them, and it keeps to loopback and ends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.slurm.bed import TESTBED, Bed, NotInstalledError, wait_until
from tests.slurm.sockets import beyond_loopback, listening

pytestmark = pytest.mark.slurm

# Each run of a job adds a line; the first never ends by itself.
COUNT_RUNS = """
echo "run ${SLURM_RESTART_COUNT:-0} on $SLURMD_NODENAME" >> "$1"
[ -n "$SLURM_RESTART_COUNT" ] || sleep 600
"""


def lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def submit_counting(bed: Bed, runs: Path) -> str:
    """Submit a job that counts its runs, and wait until the first runs."""
    job = bed.submit(COUNT_RUNS, str(runs), options=["--requeue"])
    wait_until("the first run", lambda: lines(runs), 30)
    return job


def test_a_job_runs_and_its_output_is_seen(bed: Bed) -> None:
    job = bed.submit('srun echo "$1 by $SLURM_JOB_ID"', "done", options=["--nodelist=n3"])
    assert bed.wait(job, "COMPLETED", 30) == "COMPLETED"
    assert bed.output(job) == f"done by {job}\n"
    assert bed.describe(job)["BatchHost"] == "n3"


def test_a_job_that_fails_says_so(bed: Bed) -> None:
    job = bed.submit("exit 3")
    assert bed.wait(job, {"COMPLETED", "FAILED"}, 30) == "FAILED"
    assert bed.describe(job)["ExitCode"] == "3:0"


def test_a_cancelled_job_is_gone(bed: Bed, tmp_path: Path) -> None:
    job = submit_counting(bed, tmp_path / "runs")
    bed.cancel(job)
    assert bed.wait(job, {"CANCELLED", "COMPLETED"}, 30) == "CANCELLED"


def test_a_requeued_job_runs_again(bed: Bed, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    job = submit_counting(bed, runs)
    bed.run("scontrol", "requeue", job)
    bed.wait(job, "COMPLETED", 60)
    assert [line.split(" on ")[0] for line in lines(runs)] == ["run 0", "run 1"]


def test_the_jobs_of_a_killed_node_run_elsewhere(bed: Bed, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    job = submit_counting(bed, runs)
    node = bed.describe(job)["BatchHost"]
    before = bed.processes()
    bed.kill_node(int(node.removeprefix("n")))
    # A keeper, slurmd, slurmstepd, the script and its sleep at least.
    assert len(before - bed.processes()) >= 5
    bed.wait(job, "COMPLETED", 60)
    first, second = (line.split(" on ")[1] for line in lines(runs))
    assert (first, second != node) == (node, True)
    bed.resume_node(int(node.removeprefix("n")))
    again = bed.submit("true", options=[f"--nodelist={node}"])
    bed.wait(again, "COMPLETED", 30)


def test_without_slurmd_a_job_runs_twice_at_once(bed: Bed, tmp_path: Path) -> None:
    beats = tmp_path / "beats"
    beats.mkdir()
    job = bed.submit(
        'for beat in {1..900}; do date +%s%N > "$1/$SLURMD_NODENAME"; sleep 0.1; done',
        str(beats),
        options=["--requeue"],
    )
    wait_until("the first copy", lambda: list(beats.iterdir()), 30)
    node = bed.describe(job)["BatchHost"]
    bed.cut_slurmd(int(node.removeprefix("n")))
    wait_until("the second copy", lambda: len(list(beats.iterdir())) == 2, 90)
    second = time.time_ns()

    def both_beat() -> bool:
        times = [file.read_text(encoding="utf-8") for file in beats.iterdir()]
        return all(text and int(text) > second for text in times)

    wait_until("both copies at once", both_beat, 10)


def test_nothing_listens_beyond_loopback(bed: Bed) -> None:
    job = bed.submit("echo up; srun bash -c 'echo step; sleep 600'")
    wait_until("the step", lambda: "step" in bed.output(job), 30)
    addresses = listening(bed.processes())
    # slurmctld, four slurmd, and srun for its step.
    assert len(addresses) >= 6
    assert beyond_loopback(addresses) == {}


def test_two_beds_stand_side_by_side_and_stopping_one_leaves_nothing(
    bed: Bed, tmp_path: Path
) -> None:
    def stays_the_same() -> bool:
        before = bed.processes()
        time.sleep(1.0)
        return bed.processes() == before

    # Steps of the jobs of other tests outlive the jobs by a moment.
    wait_until("only what stays", stays_the_same, 30)
    ours = bed.processes()
    with Bed.running(tmp_path / "other") as other:
        job = other.submit("setsid sleep 600 & sleep 600")
        other.wait(job, "RUNNING", 30)
        # Six daemons below six keepers, slurmctld's own helper, the step, script and sleeps.
        wait_until("all processes", lambda: len(other.processes()) >= 17, 30)
        # A step of a node whose slurmd is gone has nobody else to end it.
        other.cut_slurmd(int(other.describe(job)["BatchHost"].removeprefix("n")))
    assert other.processes() == set()
    assert bed.processes() == ours
    assert bed.run("scontrol", "ping").startswith("Slurmctld(primary) at")


@pytest.mark.usefixtures("slurm_testbed")
def test_a_bed_ends_with_its_owner(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from tests.slurm.bed import Bed
with Bed.running(Path(sys.argv[1])):
    print("up", flush=True)
    time.sleep(600)
"""
    other = Bed(tmp_path / "other")
    with subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code, str(other.base)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "up\n"
            assert len(other.processes()) >= 12
        finally:
            owner.kill()
    try:
        wait_until("the end of the bed", lambda: not other.processes(), 30)
    finally:
        other.stop()


@pytest.mark.parametrize(
    ("folder", "said"),
    [("with space", "no spaces"), ("long/" + 70 * "x", "at most 70"), ("full", "is not empty")],
)
def test_a_folder_that_cannot_be_is_refused(tmp_path: Path, folder: str, said: str) -> None:
    base = tmp_path / folder
    base.mkdir(parents=True)
    if folder == "full":
        (base / "file").touch()
    with pytest.raises(RuntimeError, match=said), Bed.running(base):
        pass


def test_without_slurm_the_start_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINKGEN_SLURM_ROOT", str(tmp_path / "nothing"))
    with (
        pytest.raises(NotInstalledError, match=r"install\.sh"),
        Bed.running(tmp_path / "bed"),
    ):
        pass


def test_an_installation_that_cannot_be_says_so_loudly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreachable = tmp_path / "apt.conf"
    unreachable.write_text(f'Dir::State::Lists "{tmp_path}/no-lists";\n', encoding="utf-8")
    monkeypatch.setenv("APT_CONFIG", str(unreachable))
    monkeypatch.setenv("MINKGEN_SLURM_ROOT", str(tmp_path / "nothing"))
    done = subprocess.run(  # noqa: S603 - our own script
        [str(TESTBED / "install.sh")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "NO SLURM" in done.stderr
    assert f"{tmp_path}/nothing/packages" in done.stderr
    assert not (tmp_path / "nothing" / "packages").exists()
