"""Many runs at once are the same runs, and none is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments.errors import UserError
from experiments.run.devices import choose_devices
from experiments.run.jobs import Job, plan
from experiments.run.record import is_finished, read_commit, read_metrics
from experiments.schedules.constant import Constant
from experiments.studies import queue
from experiments.studies.queue import run_queue
from experiments.task.config import RunConfig

ROOT = Path(__file__).parents[3]
PRESETS, SEEDS, EPOCHS = ("constant", "multistep"), (0, 1), 2

COMMAND = """
import sys
from pathlib import Path
from experiments.run.jobs import plan
from experiments.studies.queue import run_queue

if __name__ == "__main__":
    out, epochs, workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    jobs = plan(("constant",), "digits_mlp", epochs, (0, 1, 2), out)
    print("started", flush=True)
    run_queue(jobs, workers=workers)
"""


def jobs_in(folder: Path) -> list[Job]:
    return plan(PRESETS, "digits_mlp", EPOCHS, SEEDS, folder)


def numbers(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory):
    """The runs, one after the other in this process."""
    return run_queue(jobs_in(tmp_path_factory.mktemp("in_turn")), workers=1)


@pytest.mark.slow
def test_runs_in_processes_are_those_in_turn(in_turn, tmp_path):
    # One device in each process, as in a user's; here there are eight.
    script = tmp_path / "queue_of_runs.py"
    script.write_text(
        COMMAND.replace('("constant",)', repr(PRESETS)).replace(
            "(0, 1, 2)", repr(SEEDS)
        )
    )
    out = run(script, tmp_path / "runs", EPOCHS, workers=2)
    assert "4/4 digits_mlp-" in out
    for theirs in in_turn:
        ours = read_metrics(tmp_path / "runs" / theirs.job.folder.name)
        # On other numbers of cores and devices sums are taken in another order.
        for row, other in zip(numbers(ours), numbers(theirs.rows), strict=True):
            assert row == pytest.approx(other, rel=1e-4, nan_ok=True)


def test_finished_runs_are_taken_as_they_are(in_turn):
    folder = in_turn[0].job.folder.parent
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("metrics.jsonl")}
    again = run_queue(jobs_in(folder), workers=1)
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("metrics.jsonl")} == before
    assert [done.job for done in again] == [done.job for done in in_turn]
    np.testing.assert_equal(
        [numbers(done.rows) for done in again], [numbers(d.rows) for d in in_turn]
    )


def test_a_run_is_finished_with_its_last_checkpoint(in_turn, tmp_path):
    job = in_turn[0].job
    assert is_finished(job.folder, job.config)
    other = RunConfig("digits_mlp", Constant(), epochs=EPOCHS, seed=1)
    assert not is_finished(job.folder, other)
    longer = RunConfig("digits_mlp", Constant(), epochs=EPOCHS + 1)
    assert not is_finished(job.folder, longer)
    assert not is_finished(tmp_path, job.config)
    last = job.folder / "checkpoints" / str(EPOCHS)
    hidden = last.rename(job.folder / "hidden")
    assert not is_finished(job.folder, job.config)
    hidden.rename(last)


def test_one_folder_is_one_run(in_turn):
    jobs = [done.job for done in in_turn]
    assert len(run_queue([*jobs, *jobs], workers=1)) == len(jobs)


def test_another_run_in_a_folder_is_an_error(in_turn):
    job = in_turn[0].job
    other = Job(job.preset, RunConfig("digits_mlp", Constant(), epochs=3), job.folder)
    with pytest.raises(UserError, match=r"epochs: 2 there, 3 here"):
        run_queue([other], workers=1)


def test_no_workers_is_an_error(in_turn):
    with pytest.raises(UserError, match="workers must be at least 1, got 0"):
        run_queue([in_turn[0].job], workers=0)


def test_a_run_in_this_process_takes_all_devices(tmp_path, monkeypatch):
    seen = []

    def train(*args, devices, **options):
        seen.append(devices)

    monkeypatch.setattr(queue, "train", train)
    monkeypatch.setattr(queue, "read_metrics", lambda folder: [])
    devices = choose_devices(2)
    run_queue(jobs_in(tmp_path)[:2], devices=devices)
    assert seen == [devices, devices]
    with pytest.raises(UserError, match="2 workers cannot share 2 devices"):
        run_queue(jobs_in(tmp_path), workers=2, devices=devices)


def test_the_commit_is_recorded(in_turn):
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    expected = done.stdout.strip() or "unknown"  # the latter outside of a repository
    assert read_commit(in_turn[0].job.folder) == expected
    assert read_commit(Path("nowhere")) == "unknown"


def environment() -> dict[str, str]:
    return {
        **{k: v for k, v in os.environ.items() if k != "JAX_NUM_CPU_DEVICES"},
        "PYTHONPATH": str(ROOT),
    }


def run(script: Path, out: Path, epochs: int, workers: int) -> str:
    done = subprocess.run(
        [sys.executable, str(script), str(out), str(epochs), str(workers)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["SIGINT", "SIGKILL"])
@pytest.mark.usefixtures("ctrl_c_counts")
def test_a_stopped_queue_goes_on(tmp_path, sign):
    script = tmp_path / "queue_of_runs.py"
    script.write_text(COMMAND)
    out, epochs = tmp_path / "runs", 40
    command = [sys.executable, str(script), str(out), str(epochs), "2"]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        # Until two runs have epochs behind them.
        deadline = time.monotonic() + 240
        while sum(len(read_metrics(f)) > 2 for f in out.glob("digits*")) < 2:
            assert process.poll() is None, process.stderr
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(getattr(signal, sign))
        process.communicate(timeout=120)
    assert process.returncode != 0
    # Also where only the parent has been killed: its workers end after an epoch.
    wait_until_still(out)
    counts = [len(read_metrics(f)) for f in sorted(out.glob("digits*"))]
    assert all(2 < count < epochs for count in counts)

    jobs = plan(("constant",), "digits_mlp", epochs, (0, 1, 2), out)
    assert not any(is_finished(job.folder, job.config) for job in jobs)

    # It goes on, and nothing tells its runs from those of a queue that was not stopped.
    run(script, out, epochs, workers=2)
    run(script, tmp_path / "whole", epochs, workers=2)
    for job in jobs:
        assert is_finished(job.folder, job.config)
        whole = read_metrics(tmp_path / "whole" / job.folder.name)
        np.testing.assert_equal(numbers(read_metrics(job.folder)), numbers(whole))


def wait_until_still(folder: Path) -> None:
    """Waits until no run in the folder writes any more."""
    sizes, deadline = None, time.monotonic() + 60
    while time.monotonic() < deadline:
        now = {p: p.stat().st_size for p in folder.rglob("metrics.jsonl")}
        if now == sizes:
            return
        sizes = now
        time.sleep(3)
    pytest.fail("runs go on without their queue")
