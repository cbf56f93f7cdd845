"""Streamed training in real processes: killed in mid-epoch, and two that share."""

import json
import signal
import sys
from pathlib import Path

import pytest
import small_stream
from processes import Processes, two_processes

from experiments.run.metrics import read_metrics
from tests.experiments.runs import record

TIMEOUT = 300  # seconds, for anything; on a quiet machine all of it takes less
EPOCHS, STEPS = 3, 100  # 402 images in batches of 4


@pytest.fixture(scope="module")
def tree(tmp_path_factory, write_image_tree):
    folder = tmp_path_factory.mktemp("images")
    return write_image_tree(folder, (200, 202), (3, 4), (10, 20))


def command(tree, folder, *options):
    program = [sys.executable, str(Path(small_stream.__file__)), "run"]
    program += ["demo_autodrop", "--workload", small_stream.NAME]
    program += ["--epochs", str(EPOCHS), "--data-dir", str(tree), "--out", str(folder)]
    return [*program, "--resume", "--checkpoint-steps", "3", *options]


def last_checkpoint(folder):
    paths = (folder / "checkpoints").glob("*")
    return max((int(path.name) for path in paths if path.name.isdigit()), default=0)


@pytest.mark.slow
def test_kills_in_mid_epoch_leave_no_trace(tree, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with Processes([command(tree, whole)]) as processes:
        processes.finish(TIMEOUT)
    for least in (10, STEPS + 30):
        with Processes([command(tree, broken)]) as processes:
            process = processes.all[0]
            for _ in processes.poll(TIMEOUT):
                assert process.poll() is None, processes.everything()
                if last_checkpoint(broken) >= least:
                    break
            process.kill()
            process.wait()
        assert process.returncode == -signal.SIGKILL
        # Within an epoch: the next process does not begin that one anew.
        assert last_checkpoint(broken) % STEPS
        assert last_checkpoint(broken) < EPOCHS * STEPS
    with Processes([command(tree, broken)]) as processes:
        processes.finish(TIMEOUT)
    assert record(broken) == record(whole)
    numbers = {path.name for path in (broken / "checkpoints").iterdir()}
    assert numbers == {"299", "300"}


@pytest.mark.slow
def test_two_processes_that_share_the_reading_are_one_run(tree, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    with Processes([command(tree, one)], devices=2) as processes:
        processes.finish(TIMEOUT)
    with two_processes(command(tree, two)) as processes:
        processes.finish(TIMEOUT)
        assert "epoch" not in processes.output(1)
    for row, other in zip(read_metrics(two), read_metrics(one), strict=True):
        for name in row.keys() - {"seconds"}:
            assert row[name] == pytest.approx(other[name], rel=1e-4, nan_ok=True), name
    environment = json.loads((two / "environment.json").read_text())
    assert environment["devices"] == "2 devices of 2 processes"
