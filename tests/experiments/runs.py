"""A run's record and state, to compare with another run's."""

import dataclasses
import json

import jax

from experiments.data.digits import load_digits
from experiments.run.checkpoints import Checkpoints
from experiments.run.training import set_up
from experiments.task.presets import PRESETS


def record(folder):
    """The record of each epoch, without its time."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{**json.loads(line), "seconds": None} for line in lines]


def final_state(folder):
    """The last checkpoint of the demo's AutoDrop on the digits."""
    preset = PRESETS["demo_autodrop"].config
    config = dataclasses.replace(preset, workload="digits_mlp")
    like, _ = set_up(config, load_digits())
    with Checkpoints(folder / "checkpoints") as checkpoints:
        return jax.device_get(checkpoints.restore_latest(like))
