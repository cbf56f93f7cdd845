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
from experiments.run.metrics import read_metrics
from experiments.run.record import is_finished, read_commit
from experiments.schedules.constant import Constant
from experiments.studies import queue
from experiments.studies.plan import PlannedRun, arm, plan
from experiments.studies.queue import run_queue
from experiments.task.config import RunConfig
from tests.experiments.runs import without_times

ROOT = Path(__file__).parents[3]
PRESETS, SEEDS, EPOCHS = ("constant", "multistep"), (0, 1), 2
STEPS = 42 * EPOCHS

COMMAND = """
import sys
from pathlib import Path
from experiments.studies.plan import arm, plan
from experiments.studies.queue import run_queue

if __name__ == "__main__":
    out, epochs, workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    arms = map(arm, ("constant",))
    runs = plan(arms, "digits_mlp", (0, 1, 2), out, epochs=epochs)
    print("started", flush=True)
    run_queue(runs, workers=workers)
"""


def runs_in(folder: Path) -> list[PlannedRun]:
    return plan(map(arm, PRESETS), "digits_mlp", SEEDS, folder, epochs=EPOCHS)


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory):
    """The runs, one after the other in this process."""
    return run_queue(runs_in(tmp_path_factory.mktemp("in_turn")), workers=1)


@pytest.mark.slow
def test_runs_in_processes_are_those_in_turn(in_turn, tmp_path):
    # One device in each process, as in a user's; here there are eight.
    script = tmp_path / "queue_of_runs.py"
    script.write_text(
        COMMAND.replace('("constant",)', repr(PRESETS)).replace(
            "(0, 1, 2)", repr(SEEDS)
        )
    )
    out = make(script, tmp_path / "runs", EPOCHS, workers=2)
    assert "4/4 digits_mlp-" in out
    for theirs in in_turn:
        ours = read_metrics(tmp_path / "runs" / theirs.planned.folder.name)
        # On other numbers of cores and devices sums are taken in another order: at most
        # a rounding a step. (Ten in all were seen between two processors.)
        near = {"rel": STEPS * 2.0**-23, "nan_ok": True}
        rows = without_times(ours), without_times(theirs.rows)
        for row, other in zip(*rows, strict=True):
            assert row == pytest.approx(other, **near)


def test_finished_runs_are_taken_as_they_are(in_turn):
    folder = in_turn[0].planned.folder.parent
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("metrics.jsonl")}
    again = run_queue(runs_in(folder), workers=1)
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("metrics.jsonl")} == before
    assert [done.planned for done in again] == [done.planned for done in in_turn]
    np.testing.assert_equal(
        [without_times(done.rows) for done in again],
        [without_times(done.rows) for done in in_turn],
    )


def test_a_run_is_finished_with_its_last_checkpoint(in_turn, tmp_path):
    run = in_turn[0].planned
    assert is_finished(run.folder, run.config)
    other = RunConfig("digits_mlp", Constant(), epochs=EPOCHS, seed=1)
    assert not is_finished(run.folder, other)
    longer = RunConfig("digits_mlp", Constant(), epochs=EPOCHS + 1)
    assert not is_finished(run.folder, longer)
    assert not is_finished(tmp_path, run.config)
    last = run.folder / "checkpoints" / str(EPOCHS)
    hidden = last.rename(run.folder / "hidden")
    assert not is_finished(run.folder, run.config)
    hidden.rename(last)


def test_one_folder_is_one_run(in_turn):
    runs = [done.planned for done in in_turn]
    assert len(run_queue([*runs, *runs], workers=1)) == len(runs)


def test_another_run_in_a_folder_is_an_error(in_turn):
    run = in_turn[0].planned
    config = RunConfig("digits_mlp", Constant(), epochs=3)
    other = PlannedRun(run.label, config, run.folder)
    with pytest.raises(UserError, match=r"epochs: 2 there, 3 here"):
        run_queue([other], workers=1)


def test_no_workers_is_an_error(in_turn):
    with pytest.raises(UserError, match="workers must be at least 1, got 0"):
        run_queue([in_turn[0].planned], workers=0)


def test_a_run_in_this_process_takes_all_devices(tmp_path, monkeypatch):
    seen = []

    def train(*args, devices, **options):
        seen.append(devices)

    monkeypatch.setattr(queue, "train", train)
    monkeypatch.setattr(queue, "read_metrics", lambda folder: [])
    devices = choose_devices(2)
    run_queue(runs_in(tmp_path)[:2], devices=devices)
    assert seen == [devices, devices]
    with pytest.raises(UserError, match="2 workers cannot share 2 devices"):
        run_queue(runs_in(tmp_path), workers=2, devices=devices)


def test_the_commit_is_recorded(in_turn):
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    expected = done.stdout.strip() or "unknown"  # the latter outside of a repository
    found = read_commit(in_turn[0].planned.folder)
    assert found.removesuffix("-dirty") == expected
    assert read_commit(Path("nowhere")) == "unknown"


def environment() -> dict[str, str]:
    return {
        **{k: v for k, v in os.environ.items() if k != "JAX_NUM_CPU_DEVICES"},
        "PYTHONPATH": str(ROOT),
    }


def make(script: Path, out: Path, epochs: int, workers: int) -> str:
    done = subprocess.run(
        [sys.executable, str(script), str(out), str(epochs), str(workers)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=600,
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

    def begun():
        return {f: len(read_metrics(f)) for f in out.glob("digits*")}

    with subprocess.Popen(
        command,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # Until two runs, or three, have epochs behind them: one worker may have made a
        # whole run before the other has begun.
        deadline = time.monotonic() + 240
        while len(before := begun()) < 2 or min(before.values()) <= 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(getattr(signal, sign))
        process.communicate(timeout=120)
    assert process.returncode != 0
    # Also where only the parent has been killed: its workers end after an epoch.
    wait_until_still(out)
    counts = begun()
    assert any(2 < count < epochs for count in counts.values())
    # Each that was not near its end.
    assert all(counts[f] < epochs for f, count in before.items() if count < epochs / 2)

    runs = plan([arm("constant")], "digits_mlp", (0, 1, 2), out, epochs=epochs)
    assert not all(is_finished(run.folder, run.config) for run in runs)

    # It goes on, and nothing tells its runs from those of a queue that was not stopped.
    make(script, out, epochs, workers=2)
    make(script, tmp_path / "whole", epochs, workers=2)
    for run in runs:
        assert is_finished(run.folder, run.config)
        whole = read_metrics(tmp_path / "whole" / run.folder.name)
        np.testing.assert_equal(
            without_times(read_metrics(run.folder)), without_times(whole)
        )


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
