"""Training on several devices: the same run, and each device does its share."""

import json
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from processes import REPOSITORY

from experiments.__main__ import main
from experiments.errors import UserError
from experiments.run.devices import ONE_DEVICE, choose_devices
from experiments.run.metrics import read_metrics
from experiments.run.training import set_up, train
from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.task.config import RunConfig
from tests.experiments.runs import assert_same_on_eight_devices

# The first angle is that after the second epoch.
CONFIG = RunConfig("digits_mlp", EpochAutoDrop(), epochs=3)


class Epochs:
    """The compiled epoch on some devices, and what a few of it give."""

    def __init__(self, devices, dataset):
        state, run_epoch = set_up(CONFIG, dataset, devices)
        compiled = jax.jit(run_epoch).lower(state).compile()
        self.text = compiled.as_text()
        for _ in range(CONFIG.epochs):
            state, metrics = compiled(state)
        self.state, self.metrics = state, metrics


@pytest.fixture(scope="module")
def on_eight(digits):
    return Epochs(choose_devices(), digits)


def test_epochs_on_eight_devices_are_those_on_one(on_eight, digits):
    one = Epochs(ONE_DEVICE, digits)
    assert 0 < one.metrics["angular_velocity"] < 180
    assert_same_on_eight_devices(
        (one.state, one.metrics), (on_eight.state, on_eight.metrics)
    )


def test_each_device_computes_its_share(on_eight, digits):
    # Of batches of 32 training images and of all 450 of the test, rounded up to 456.
    outputs = re.findall(r"= f32\[(\d+),(\d+)\]\S* dot\(", on_eight.text)
    sizes = {64, 128, 10}  # of the layers: a gradient's two axes
    activations = {int(rows) for rows, _ in outputs} - sizes
    assert activations == {32 // 8, 456 // 8}
    assert not re.findall(r"all-gather|all-to-all|collective-permute", on_eight.text)
    # One sum per step, of all gradients and the loss; two of an evaluation's scalars.
    sums = re.findall(r"= (\(.*?\)|\S+) all-reduce\(", on_eight.text)
    assert len(sums) == 3
    assert sorted("f32[128,64]" in shape for shape in sums) == [False, False, True]


@pytest.mark.parametrize(("count", "size"), [(None, 8), (2, 2)])
def test_how_many_devices(count, size):
    devices = choose_devices(count)
    assert devices.count == size
    assert str(devices) == f"{size} devices"
    assert devices.round_up(1000) == 1000
    assert devices.round_up(1001) == 1000 + size


def test_one_device_is_left_to_jax():
    assert choose_devices(1) is ONE_DEVICE


def test_a_batch_that_cannot_be_shared_evenly(digits, tmp_path):
    message = "a batch of 32 images cannot.* among 6 devices: use 4 with --devices 4"
    with pytest.raises(UserError, match=message):
        train(CONFIG, tmp_path / "run", digits, devices=choose_devices(6))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("count", [0, 9])
def test_devices_that_are_not_there(count, tmp_path):
    command = ["run", "constant", "--workload", "digits_mlp", "--out", str(tmp_path)]
    message = rf"--devices must be at least 1 and at most 8.*got {count}\."
    with pytest.raises(SystemExit, match=message):
        main([*command, "--devices", str(count)])


@pytest.mark.slow
def test_processes_that_cannot_be_told():
    command = "experiments run constant --num-processes 2 --process-id 0"
    result = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    assert "Error: JAX cannot tell the processes of this run" in result.stderr
    assert "--coordinator-address HOST:PORT" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_a_run_goes_on_on_other_devices(digits, tmp_path):
    whole, moved = tmp_path / "whole", tmp_path / "moved"
    train(CONFIG, whole, digits)
    shutil.copytree(whole, moved)
    shutil.rmtree(moved / "checkpoints" / "3")
    rows = train(CONFIG, moved, digits, resume=True, devices=choose_devices())
    expected = read_metrics(whole)
    np.testing.assert_equal(rows[:2], expected[:2])
    for name, value in expected[2].items():
        if name != "seconds":
            np.testing.assert_allclose(rows[2][name], value, rtol=1e-4, err_msg=name)
    environment = json.loads((moved / "environment.json").read_text())
    assert environment["devices"] == "8 devices"
