"""The rates of the schedules, and that watching changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.config import AutoDropOptions, MultistepOptions, RunConfig
from experiments.schedules import SCHEDULES
from experiments.training import set_up
from experiments.workloads import WORKLOADS

WORKLOAD = WORKLOADS["digits_mlp"]


@pytest.mark.parametrize("name", ["multistep", "constant"])
def test_watched_optimizer_is_bit_for_bit_the_plain_one(name):
    config = RunConfig(workload="digits_mlp", schedule=name, epochs=10)
    schedule = SCHEDULES[name](config, WORKLOAD, 3)
    rates = {
        "constant": 0.1,
        "multistep": optax.piecewise_constant_schedule(0.1, {9: 0.2, 18: 0.2, 24: 0.2}),
    }
    plain = WORKLOAD.optimizer(rates[name])
    params = {"w": jax.random.normal(jax.random.key(0), (50, 7)), "b": jnp.ones(7)}
    ours, theirs = schedule.optimizer.init(params), plain.init(params)
    for step in range(30):
        # Different in every step and leaf.
        gradients = jax.tree.map(lambda p, step=step: jnp.sin(p + step), params)
        a, ours = schedule.optimizer.update(gradients, ours, params)
        b, theirs = plain.update(gradients, theirs, params)
        jax.tree.map(np.testing.assert_array_equal, a, b)
        params = optax.apply_updates(params, b)


def rates_of(digits, config):
    """The recorded rate of every epoch."""
    state, run_epoch = set_up(config, digits)
    rates = []
    for _ in range(config.epochs):
        state, metrics = run_epoch(state, digits)
        rates.append(float(metrics["learning_rate"]))
    return rates


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(
            MultistepOptions(),
            [0.1] * 3 + [0.02] * 3 + [0.004] * 2 + [8e-4] * 2,
            id="usual",
        ),
        pytest.param(
            MultistepOptions(milestones=(0.5, 0.52), drop_factor=0.5),
            [0.1] * 5 + [0.025] * 5,
            id="two-at-once",
        ),
    ],
)
def test_multistep_drops_after_its_fractions(digits, options, expected):
    config = RunConfig("digits_mlp", "multistep", epochs=10, multistep=options)
    np.testing.assert_allclose(rates_of(digits, config), expected, rtol=1e-5)


def test_constant_stays(digits):
    config = RunConfig("digits_mlp", "constant", epochs=3)
    np.testing.assert_allclose(rates_of(digits, config), 0.1, rtol=1e-6)


def test_autodrop_takes_its_options(digits):
    # Every change is below 360 degrees: the first decision, after epoch 3, drops.
    options = AutoDropOptions(
        threshold=360.0, max_threshold=360.0, drop_delay=1, drop_factor=0.5
    )
    config = RunConfig("digits_mlp", "autodrop", epochs=5, autodrop=options)
    expected = [0.1, 0.1, 0.1, 0.05, 0.025]
    np.testing.assert_allclose(rates_of(digits, config), expected, rtol=1e-5)
