"""The rates of the schedules, and that watching changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.config import RunConfig
from experiments.errors import UserError
from experiments.optimizers import sgd
from experiments.options import (
    AutoDropOptions,
    MatchedExponentialOptions,
    MultistepOptions,
    WindowedAutoDropOptions,
)
from experiments.recipe import Recipe
from experiments.schedules import SCHEDULES
from experiments.schedules.autodrop import resolved
from experiments.training import set_up
from experiments.workloads import WORKLOADS

WORKLOAD = WORKLOADS["digits_mlp"]


@pytest.mark.parametrize(
    "name", ["multistep", "constant", "linear_decay", "matched_exponential"]
)
def test_watched_optimizer_is_bit_for_bit_the_plain_one(name):
    # 30 steps: with num_drops=5 the rate drops after every 5.
    config = RunConfig(
        workload="digits_mlp",
        schedule=name,
        epochs=10,
        matched_exponential=MatchedExponentialOptions(num_drops=5, drop_factor=0.5),
    )
    schedule = SCHEDULES[name](config, Recipe.of(config, WORKLOAD, 3))
    rates = {
        "constant": 0.1,
        "multistep": optax.piecewise_constant_schedule(0.1, {9: 0.2, 18: 0.2, 24: 0.2}),
        "linear_decay": optax.linear_schedule(0.1, 0.0, 30),
        "matched_exponential": optax.exponential_decay(0.1, 5, 0.5, staircase=True),
    }
    plain = sgd(rates[name], momentum=0.9, weight_decay=1e-2)
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


def test_linear_decay_ends_at_zero(digits):
    config = RunConfig("digits_mlp", "linear_decay", epochs=4)
    np.testing.assert_allclose(
        rates_of(digits, config), [0.1, 0.075, 0.05, 0.025], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # 4 epochs of 42 steps. A drop after every 42: at the start of each epoch.
        pytest.param(
            MatchedExponentialOptions(num_drops=3, drop_factor=0.5),
            [0.1, 0.05, 0.025, 0.0125],
            id="as-many",
        ),
        pytest.param(
            MatchedExponentialOptions(
                windows_per_drop=7, window_steps=6, drop_factor=0.5
            ),
            [0.1, 0.05, 0.025, 0.0125],
            id="every-7-windows",
        ),
        # 168 steps are few: windows of 1 step, a drop every 13.
        pytest.param(
            MatchedExponentialOptions(),
            [0.1 * 0.95**n for n in (0, 42 // 13, 84 // 13, 126 // 13)],
            id="every-13th-of-the-run's",
        ),
        pytest.param(MatchedExponentialOptions(num_drops=0), [0.1] * 4, id="none"),
    ],
)
def test_matched_exponential_drops_evenly(digits, options, expected):
    config = RunConfig(
        "digits_mlp", "matched_exponential", epochs=4, matched_exponential=options
    )
    np.testing.assert_allclose(rates_of(digits, config), expected, rtol=1e-5)


def test_windowed_autodrop_takes_its_options(digits):
    # Every change is below 360 degrees: a drop whenever the buffer is full again,
    # windows 5, 8, 11, ... of 7 steps. 6 windows an epoch.
    options = WindowedAutoDropOptions(
        window_steps=7, buffer_size=2, threshold=360.0, drop_factor=0.5
    )
    config = RunConfig(
        "digits_mlp", "windowed_autodrop", epochs=3, windowed_autodrop=options
    )
    state, run_epoch = set_up(config, digits)
    rows = []
    for _ in range(3):
        state, metrics = run_epoch(state, digits)
        rows.append({k: float(v) for k, v in metrics.items()})
    rates = [row["learning_rate"] for row in rows]
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.0125], rtol=1e-5)
    assert [row["num_drops"] for row in rows] == [1, 3, 5]
    assert [row["window"] for row in rows] == [6, 12, 18]
    assert [row["windows_since_drop"] for row in rows] == [1, 1, 1]
    assert 0 < rows[-1]["angular_velocity"] < 180  # that of epochs, as elsewhere
    assert rows[-1]["epoch"] == 3


@pytest.mark.parametrize(
    ("steps", "expected"), [(28080, 23), (2520, 2), (78_000, 65), (10, 1)]
)
def test_windows_per_run(steps, expected):
    assert resolved(None, steps) == expected
    assert resolved(64, steps) == 64


def test_options_out_of_range(digits):
    with pytest.raises(UserError, match="num_drops must be 0 or more, got -1"):
        MatchedExponentialOptions(num_drops=-1)
    with pytest.raises(UserError, match="windows_per_drop must be at least 1, got 0"):
        MatchedExponentialOptions(windows_per_drop=0)
    options = WindowedAutoDropOptions(sample_every=7)
    config = RunConfig("digits_mlp", "windowed_autodrop", windowed_autodrop=options)
    with pytest.raises(UserError, match="sample_every that divides window_steps"):
        set_up(config, digits)
