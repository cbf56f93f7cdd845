"""Two real processes train together: the drops of one, and one state."""

import sys
from pathlib import Path

import data_parallel
import jax
import numpy as np
import pytest
from problems import flat
from processes import two_processes
from slow import slow_but

WORKER = str(Path(data_parallel.__file__))


@pytest.fixture(scope="module", params=slow_but(data_parallel.WAYS, "default"))
def way(request):
    return request.param


@pytest.fixture(scope="module")
def results(tmp_path_factory, way):
    """What each of two processes with two devices each wrote."""
    out = tmp_path_factory.mktemp("processes")
    command = [sys.executable, WORKER, "--way", way, "--out", str(out)]
    with two_processes(command, 2) as processes:
        processes.finish(timeout=240)
    return [np.load(out / f"{index}.npz") for index in range(2)]


def test_two_processes_drop_where_one_does(results, way):
    record, (params, _) = data_parallel.train(
        data_parallel.mesh_of(jax.devices()[:1]), way
    )
    # With another order of summation a change so far from the threshold decides alike.
    if way == "default":
        same, angle = ("scale", "steps_since_drop", "next_check"), "angle"
        informed = record["angle"] > 0
        margins = np.abs(record["angle"] - record["max_angle"])[informed]
        drops = 4
    else:
        same, angle = ("delay_count", "averaged", "epoch"), "angular_velocity"
        same += ("learning_rate",)
        thresholds = [data_parallel.OPTIONS["threshold"], *record["threshold"][:-1]]
        margins = np.abs(np.abs(record["angular_velocity_change"]) - thresholds)
        drops = 8
    assert np.nanmin(margins) > 0.01
    assert record["num_drops"][-1] == drops
    for result in results:
        for name in ("num_drops", *same):
            np.testing.assert_array_equal(result[name], record[name])
        np.testing.assert_allclose(result[angle], record[angle], atol=2e-3)
        scale = np.linalg.norm(flat(params))
        difference = result["params"] - flat(params)
        assert np.linalg.norm(difference) < 1e-5 * scale


def test_all_devices_of_both_processes_hold_the_same_bits(results):
    copies = np.concatenate([result["copies"] for result in results])
    assert len(copies) == 4
    np.testing.assert_array_equal(copies, np.broadcast_to(copies[0], copies.shape))
