"""Runs that are killed again and again, and end as if they had not been.

SIGKILL at moments of the wall clock, from a fixed seed: real processes, which get as
far as they get.
"""

import contextlib
import itertools
import json
import random
import signal
import sys
import time

import jax
import numpy as np
import pytest
from processes import Processes, free_port, two_processes
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.run.metrics import read_metrics
from tests.experiments.runs import final_state, record

TIMEOUT = 300  # seconds, for anything; on a quiet machine all of it takes less


def command(folder, epochs):
    options = ["--workload", "digits_mlp", "--epochs", str(epochs), "--resume"]
    program = [sys.executable, "-m", "experiments", "run", "demo_autodrop"]
    return [*program, *options, "--out", str(folder)]


class Watched:
    """What can be seen from outside of a run's folder."""

    def __init__(self, folder, start_up_seconds):
        self.folder = folder
        self.checkpoints = folder / "checkpoints"
        self.start_up_seconds = start_up_seconds

    def rows(self):
        return len(read_metrics(self.folder))

    def last_checkpoint(self):
        with contextlib.suppress(FileNotFoundError):
            names = [path.name for path in self.checkpoints.iterdir()]
            return max((int(name) for name in names if name.isdigit()), default=0)
        return 0

    def is_writing_checkpoint(self):
        return any(self.checkpoints.glob("*.orbax-checkpoint-tmp*"))


def start_up(run, delay, wait):
    """From before the imports to the first epochs."""
    before = run.rows()
    deadline = time.monotonic() + delay * 0.8 * run.start_up_seconds
    wait(lambda: time.monotonic() > deadline or run.rows() > before + 3)


def row_without_checkpoint(run, delay, wait):
    before = run.rows()
    wait(lambda: run.rows() >= before + 1 + delay * 4)
    wait(lambda: run.rows() > run.last_checkpoint())


def checkpoint_half_written(run, delay, wait):
    before = run.rows()
    wait(lambda: run.rows() >= before + 1 + delay * 4)
    wait(run.is_writing_checkpoint)
    time.sleep(delay * 0.02)


def training(run, delay, wait):
    before = run.rows()
    wait(lambda: run.rows() > before)
    time.sleep(delay * 0.3)


# Twenty; each waits for a moment, which ``delay``, from 0 to 1, makes a random one.
MOMENTS = (start_up, row_without_checkpoint, checkpoint_half_written, training) * 5


def wait_for_epoch(processes, folder, epoch):
    for _ in processes.poll(TIMEOUT):
        if len(read_metrics(folder)) >= epoch:
            return


def check_equal(broken, whole, epochs):
    assert record(broken) == record(whole)
    states = final_state(broken), final_state(whole)
    assert states[0].epoch == epochs
    for x, y in zip(*map(jax.tree.leaves, states), strict=True):
        assert x.tobytes() == y.tobytes()
    kept = {path.name for path in (broken / "checkpoints").iterdir()}
    assert kept == {str(epochs - 1), str(epochs)}
    events = EventAccumulator(
        str(broken / "tensorboard"), size_guidance={"scalars": 0}
    ).Reload()
    scalars = events.Scalars("train_loss")
    assert [event.step for event in scalars] == list(range(1, epochs + 1))
    np.testing.assert_allclose(
        [event.value for event in scalars],
        [row["train_loss"] for row in read_metrics(whole)],
        rtol=1e-6,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c_counts")
def test_twenty_kills_leave_no_trace(tmp_path):
    epochs = 120
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with Processes([command(whole, epochs)]) as processes:
        started = time.monotonic()
        wait_for_epoch(processes, whole, 1)
        run = Watched(broken, time.monotonic() - started)
        processes.finish(TIMEOUT)

    rng = random.Random(0)
    moments = rng.sample(MOMENTS, len(MOMENTS))
    seen = {"before the first row": 0, "row ahead": 0, "unfinished checkpoint": 0}
    for moment in moments:
        rows_before = run.rows()
        with Processes([command(broken, epochs)]) as processes:
            process = processes.all[0]

            def wait(condition, processes=processes, process=process):
                for _ in processes.poll(TIMEOUT):
                    assert process.poll() is None, processes.everything()
                    if condition():
                        return

            moment(run, rng.random(), wait)
            process.kill()
            process.wait()
        assert process.returncode == -signal.SIGKILL, "it was over before the kill"
        seen["before the first row"] += run.rows() <= rows_before
        seen["row ahead"] += run.rows() > run.last_checkpoint()
        seen["unfinished checkpoint"] += run.is_writing_checkpoint()
    # The machine's pace decides how often; none may be missing.
    assert all(seen.values()), seen
    print(f"{len(moments)} kills, {run.last_checkpoint()} epochs by then: {seen}")

    # Ctrl-C is another end: after the present epoch and its checkpoint.
    with Processes([command(broken, epochs)]) as processes:
        wait_for_epoch(processes, broken, run.rows() + 1)
        processes.all[0].send_signal(signal.SIGINT)
        assert processes.exit_codes(TIMEOUT) == [1]
        assert "Stopped." in processes.output(0)
        assert "Traceback" not in processes.output(0)
    assert run.last_checkpoint() == run.rows() < epochs

    with Processes([command(broken, epochs)]) as processes:
        processes.finish(TIMEOUT)
    check_equal(broken, whole, epochs)


@pytest.mark.slow
def test_processes_that_disagree_stop(tmp_path):
    port, folder = free_port(), tmp_path / "run"
    commands = [
        [
            *command(folder, 2),
            *("--coordinator-address", f"127.0.0.1:{port}", "--num-processes", "2"),
            *("--process-id", str(index), "--seed", str(index)),
        ]
        for index in range(2)
    ]
    with Processes(commands) as processes:
        assert processes.exit_codes(TIMEOUT) == [1, 1]
        for index in range(2):
            message = "the run of process 1 is not that of process 0"
            assert message in processes.output(index)
    assert not folder.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c_counts")
def test_a_kill_of_either_of_two_processes_leaves_no_trace(tmp_path):
    epochs = 60
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with two_processes(command(whole, epochs)) as processes:
        processes.finish(TIMEOUT)

    for victim, epoch in ((1, 3), (0, 6)):
        with two_processes(command(broken, epochs)) as processes:
            wait_for_epoch(processes, broken, epoch)
            processes.all[victim].kill()
            # The other one cannot go on alone. JAX ends it when heartbeats have been
            # missing for long enough; here, as on a cluster, both are stopped before.
            rows = []
            for _ in itertools.islice(processes.poll(TIMEOUT), 200):
                rows.append(len(read_metrics(broken)))
            assert rows[-1] <= rows[0] + 1
            assert rows[-1] < epochs
    with two_processes(command(broken, epochs)) as processes:
        wait_for_epoch(processes, broken, 9)
        # Ctrl-C in one of them stops both, after the same epoch.
        processes.all[1].send_signal(signal.SIGINT)
        assert processes.exit_codes(TIMEOUT) == [1, 1]
        assert "Stopped. All finished epochs are kept" in processes.output(0)
        assert "Traceback" not in processes.everything()
    assert 9 <= len(read_metrics(broken)) < epochs
    with two_processes(command(broken, epochs)) as processes:
        processes.finish(TIMEOUT)
        text = processes.output(0)
        assert f"epoch  {epochs}/{epochs}" in text
        assert "epoch" not in processes.output(1)
    check_equal(broken, whole, epochs)
    environment = json.loads((whole / "environment.json").read_text())
    assert environment["devices"] == "2 devices of 2 processes"
