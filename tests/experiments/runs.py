"""A run's record and state, to compare with another run's."""

import dataclasses
import json

import jax
import numpy as np

from experiments.data.digits import load_digits
from experiments.run.checkpoints import Checkpoints
from experiments.run.training import set_up
from experiments.task.presets import PRESETS


def without_times(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def record(folder):
    """The record of each epoch, without its time; where there is no number, None."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return without_times(map(json.loads, lines))


def assert_same_on_eight_devices(on_one, on_eight):
    """A state and its metrics, on one device and on each of eight."""
    (one, metrics), (eight, others) = on_one, on_eight
    for (path, x), y in zip(
        jax.tree.leaves_with_path(one), jax.tree.leaves(eight), strict=True
    ):
        assert y.sharding.is_fully_replicated
        assert len(y.sharding.device_set) == 8
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(y, x, rtol=1e-5, atol=1e-5, err_msg=name)
    assert metrics.keys() == others.keys()
    for name, value in metrics.items():
        np.testing.assert_allclose(others[name], value, rtol=1e-5, err_msg=name)


def final_state(folder):
    """The last checkpoint of the demo's AutoDrop on the digits."""
    preset = PRESETS["demo_autodrop"].config
    config = dataclasses.replace(preset, workload="digits_mlp")
    like, _ = set_up(config, load_digits())
    with Checkpoints(folder / "checkpoints") as checkpoints:
        return jax.device_get(checkpoints.restore_latest(like))
