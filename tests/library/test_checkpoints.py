"""Orbax checkpoints at any point: nothing lost, and what wins on a restore."""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from slow import slow_but

from autodrop_optax import (
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
    with_epoch_autodrop,
)

STEPS, EPOCHS, RATE = 4, 16, 0.1
# Drops after epochs 7, 11 and 15.
OPTIONS = {"threshold": 8.0, "max_threshold": 16.0, "drop_delay": 4}
SHAPES = {"kernel": (16, 8), "bias": (8,), "scalar": ()}
WAYS = ("link", "wrapper", "counting")


class Training(NamedTuple):
    """All that a checkpoint has to hold."""

    params: Any
    opt_state: Any
    position: jax.Array  # shape (), int32: steps done, from which the data follow


def make_optimizer(way, steps_per_epoch=STEPS, rate=RATE, **options):
    options = OPTIONS | options
    sgd = optax.sgd(rate, momentum=0.9)
    if way == "link":
        return optax.chain(sgd, epoch_autodrop(rate, **options))
    if way == "wrapper":
        return with_epoch_autodrop(sgd, rate, steps_per_epoch, **options)
    link = epoch_autodrop(
        rate, steps_per_epoch=steps_per_epoch, averaging=False, **options
    )
    return optax.chain(sgd, link)


def initial_params():
    rng = np.random.default_rng(0)
    return {
        name: jnp.asarray(3 * rng.normal(size=shape), jnp.float32)
        for name, shape in SHAPES.items()
    }


def one_device():
    everywhere = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return dict.fromkeys(SHAPES, everywhere), everywhere


def eight_devices():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    divided, everywhere = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
    return {"kernel": divided, "bias": divided, "scalar": everywhere}, everywhere


@functools.cache
def fresh(way, devices, **options) -> Training:
    """The start of a run; a new process makes its target of it."""
    optimizer = make_optimizer(way, **options)
    shardings, everywhere = devices()
    params = jax.device_put(initial_params(), shardings)
    state_shardings = optax.tree.map_params(
        optimizer,
        lambda _, sharding: sharding,
        jax.eval_shape(optimizer.init, params),
        shardings,
        transform_non_params=lambda _: everywhere,
    )
    return Training(
        params,
        jax.jit(optimizer.init, out_shardings=state_shardings)(params),
        jax.device_put(jnp.zeros((), jnp.int32), everywhere),
    )


@functools.cache
def make_step(way, **options):
    optimizer = make_optimizer(way, **options)

    def step(training):
        params, opt_state, position = training
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), position), 3)
        gradients = {
            name: np.float32(curvature) * (params[name] - jax.random.normal(key, shape))
            for (name, shape), key, curvature in zip(
                SHAPES.items(), keys, (0.3, 1.0, 0.1), strict=True
            )
        }
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return Training(
            optax.apply_updates(params, updates), opt_state, position + jnp.int32(1)
        )

    # What takes a few steps with settings of its own is not worth compiling.
    return step if options else jax.jit(step)


end = jax.jit(end_epoch)


def advance(training, way, until, **options):
    """Trains until a position; after it a finished epoch is ended where that is due."""
    step = make_step(way, **options)
    for position in range(int(training.position) + 1, until + 1):
        training = step(training)
        if way == "link" and position % STEPS == 0:
            params, opt_state = end(training.params, training.opt_state)
            training = training._replace(params=params, opt_state=opt_state)
    return training


@functools.cache
def uninterrupted(way, devices):
    """A run's states and metrics after each of its steps, and before the first."""
    states = [fresh(way, devices)]
    for position in range(1, STEPS * EPOCHS + 1):
        states.append(advance(states[-1], way, position))
    return states, [metrics_of(training) for training in states]


read_metrics = jax.jit(autodrop_metrics)


def metrics_of(training):
    return jax.device_get(read_metrics(training.opt_state))


MOMENTS = {
    "mid-epoch": lambda step, m: step == 2 and m["delay_count"] == 0,
    "mid-delay": lambda step, m: step == 0 and m["delay_count"] == 2,
    "mid-average": lambda step, m: step == 3 and m["delay_count"] == 3,
    "after-a-drop": lambda step, m: step == 0 and m["epochs_since_drop"] == 0,
}


def find(moment, metrics):
    """The first position after a drop at which a run is at such a moment."""
    return next(
        position
        for position, values in enumerate(metrics)
        if values["num_drops"] >= 1 and MOMENTS[moment](position % STEPS, values)
    )


def save(path, training):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, training)


def restore(path, like) -> Training:
    target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path, target)


def assert_same_bits(a, b):
    for (path, x), y in zip(
        jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True
    ):
        name = jax.tree_util.keystr(path)
        assert x.dtype == y.dtype, name
        assert x.sharding.is_equivalent_to(y.sharding, x.ndim), name
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes(), name


PLACES = {
    "link": ("link", one_device),
    "wrapper": ("wrapper", one_device),
    "counting": ("counting", one_device),
    "link-sharded": ("link", eight_devices),
    "wrapper-sharded": ("wrapper", eight_devices),
}
CUTS = {
    f"{moment}-{name}": (*place, moment)
    for moment in MOMENTS
    for name, place in PLACES.items()
}
# Every moment of the wrapper, and the link where most is under way.
FAST = [*(f"{moment}-wrapper" for moment in MOMENTS), "mid-average-link"]


@pytest.mark.parametrize(("way", "devices", "moment"), slow_but(CUTS, *FAST))
def test_continues_bit_for_bit(way, devices, moment, tmp_path):
    states, metrics = uninterrupted(way, devices)
    position = find(moment, metrics)
    save(tmp_path / "checkpoint", states[position])
    training = restore(tmp_path / "checkpoint", fresh(way, devices))
    assert_same_bits(training, states[position])
    assert_same_bits(advance(training, way, STEPS * EPOCHS), states[-1])
    # There was something to lose: more drops come after the restore.
    assert metrics[-1]["num_drops"] > metrics[position]["num_drops"]


@pytest.mark.parametrize(
    ("here", "there"),
    [
        pytest.param(one_device, eight_devices, id="one-to-eight"),
        pytest.param(eight_devices, one_device, id="eight-to-one"),
    ],
)
@pytest.mark.parametrize("moment", ["mid-epoch", "mid-average"])
@pytest.mark.parametrize("way", ["link", "wrapper"])
def test_moves_to_other_devices(way, moment, here, there, tmp_path):
    states, metrics = uninterrupted(way, here)
    position = find(moment, metrics)
    save(tmp_path / "checkpoint", states[position])
    target = fresh(way, there)
    training = restore(tmp_path / "checkpoint", target)
    for x, y, z in zip(
        *map(jax.tree.leaves, (training, states[position], target)), strict=True
    ):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()
        assert x.sharding.is_equivalent_to(z.sharding, x.ndim)
    training = advance(training, way, STEPS * EPOCHS)
    values = metrics_of(training)
    for name in ("num_drops", "delay_count", "learning_rate", "epoch"):
        assert values[name] == metrics[-1][name]
    for name, x in training.params.items():
        np.testing.assert_allclose(x, states[-1].params[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", ["link", "wrapper"])
def test_the_drops_are_not_near(way):
    # Else another order of summation might decide otherwise on other devices.
    threshold = OPTIONS["threshold"]
    margins = []
    for values in uninterrupted(way, one_device)[1][STEPS::STEPS]:
        margins.append(abs(abs(values["angular_velocity_change"]) - threshold))
        threshold = values["threshold"]
    assert np.nanmin(margins) > 0.01


@pytest.mark.parametrize(
    ("way", "options", "expected"),
    [
        pytest.param(
            way,
            {"threshold": 0.5, "rate": 0.05, "min_learning_rate": 1e-3},
            # The drop that was made stays made, from the new initial rate.
            {"threshold": 0.5, "learning_rate": 0.05 * 0.2},
            id=way,
        )
        for way in WAYS
    ]
    + [
        pytest.param("link", {"max_threshold": 9.0}, {"threshold": 9.0}, id="maximum"),
        pytest.param("link", {}, {"threshold": 16.0, "learning_rate": 0.02}, id="same"),
    ],
)
def test_the_constructor_wins(way, options, expected, tmp_path):
    states, metrics = uninterrupted(way, one_device)
    position = find("mid-epoch", metrics)
    assert metrics[position]["num_drops"] == 1
    save(tmp_path / "checkpoint", states[position])
    like = fresh(way, one_device, **options)
    training = restore(tmp_path / "checkpoint", like)
    assert_same_bits(training, states[position])  # until the first update
    training = advance(training, way, position + 1, **options)
    values = metrics_of(training)
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=1e-6)
    for name in ("num_drops", "epoch", "epochs_since_drop", "angular_velocity"):
        assert values[name] == metrics[position][name]


@pytest.mark.parametrize("way", slow_but(WAYS, "link"))
def test_a_shorter_delay_ends_with_the_epoch(way, tmp_path):
    states, metrics = uninterrupted(way, one_device)
    position = find("mid-average", metrics)  # three epochs into a delay of four
    save(tmp_path / "checkpoint", states[position])
    like = fresh(way, one_device, drop_delay=2)
    training = restore(tmp_path / "checkpoint", like)
    # A link that counts sees the end of an epoch at the first step of the next.
    after = position + 1 + (way == "counting")
    values = metrics_of(advance(training, way, after, drop_delay=2))
    assert values["num_drops"] == metrics[position]["num_drops"] + 1
    assert values["epochs_since_drop"] == 0


@pytest.mark.parametrize(
    ("steps", "way", "ends"),
    [
        pytest.param(2, "wrapper", [1, 3, 5, 7], id="fewer-than-done"),
        pytest.param(3, "wrapper", [1, 4, 7], id="as-many-as-done"),
        pytest.param(6, "wrapper", [3], id="more"),
        # A link that counts sees the end of an epoch at the first step of the next;
        # an epoch of more steps than asked for has ended before.
        pytest.param(2, "counting", [1, 3, 5, 7], id="counting-fewer-than-done"),
        pytest.param(3, "counting", [1, 4, 7], id="counting-as-many-as-done"),
        pytest.param(6, "counting", [4], id="counting-more"),
    ],
)
def test_another_number_of_steps_per_epoch(steps, way, ends, tmp_path):
    # Three steps into an epoch; at which of the next eight an epoch ends.
    states, _ = uninterrupted(way, one_device)
    position = 4 * STEPS + 3
    save(tmp_path / "checkpoint", states[position])
    like = fresh(way, one_device, steps_per_epoch=steps)
    training = restore(tmp_path / "checkpoint", like)
    epochs = [metrics_of(training)["epoch"]]
    for until in range(position + 1, position + 9):
        training = advance(training, way, until, steps_per_epoch=steps)
        epochs.append(metrics_of(training)["epoch"])
    assert list(np.flatnonzero(np.diff(epochs)) + 1) == ends
    assert set(np.diff(epochs)) == {0, 1}


@pytest.mark.parametrize(
    ("way", "options", "pattern"),
    [
        ("link", {"window": 2}, r"shape.*not compatible"),
        ("link", {"averaging": False}, r"structures do not match(.|\n)*average"),
    ],
    ids=["window", "averaging"],
)
def test_what_shapes_the_state_cannot_change(way, options, pattern, tmp_path):
    save(tmp_path / "checkpoint", fresh(way, one_device))
    # In a process of its own: a restore that fails leaves Orbax's other reads to the
    # garbage collector, and what they then raise to some other test.
    code = (
        "import pathlib, test_checkpoints as t\n"
        f"like = t.fresh({way!r}, t.one_device, **{options!r})\n"
        f"t.restore(pathlib.Path({str(tmp_path / 'checkpoint')!r}), like)"
    )
    failed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 1
    assert re.search(f"ValueError: (.|\n)*{pattern}", failed.stderr), failed.stderr


def test_a_state_driven_another_way_is_refused(tmp_path):
    save(tmp_path / "checkpoint", fresh("link", one_device))
    # Where a checkpoint has None, Orbax does not mind an array in the target.
    like = fresh("wrapper", one_device)
    training = restore(tmp_path / "checkpoint", like)
    with pytest.raises(ValueError, match="steps_per_epoch given is True here, but was"):
        make_step("wrapper")(training)


def test_restored_without_a_target_is_a_clear_error(tmp_path):
    save(tmp_path / "checkpoint", fresh("link", one_device))
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "checkpoint")
    pattern = r"as a plain dictionary.*checkpointer\.restore\(path, target\)"
    with pytest.raises(ValueError, match=pattern):
        autodrop_metrics(restored["opt_state"])
    with pytest.raises(ValueError, match=pattern):
        end_epoch(restored["params"], restored["opt_state"])
