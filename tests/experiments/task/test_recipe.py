"""A recipe is the workload's with what the configuration changes in it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from slow import slow_but

from experiments.errors import UserError
from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.task.config import RunConfig
from experiments.task.workloads import WORKLOADS
from tests.experiments.rates import rates_of

WORKLOAD = WORKLOADS["digits_mlp"]


def test_without_choices_it_is_the_workloads():
    recipe = RunConfig("digits_mlp", epochs=7).recipe(3)
    assert (recipe.learning_rate, recipe.weight_decay) == (0.1, 1e-2)
    assert (recipe.optimizer_name, recipe.momentum) == ("sgd", 0.9)
    assert (recipe.epochs, recipe.steps) == (7, 21)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("sgd", optax.sgd(0.05, momentum=0.9), id="sgd"),
        pytest.param(
            "nesterov", optax.sgd(0.05, momentum=0.9, nesterov=True), id="nesterov"
        ),
        pytest.param("adamw", optax.adamw(0.05, weight_decay=0.0), id="adamw"),
    ],
)
def test_the_chosen_optimizer_takes_rate_and_decay(name, expected):
    config = RunConfig(
        "digits_mlp", optimizer=name, learning_rate=0.05, weight_decay=0.0
    )
    ours = config.recipe(3).optimizer(0.05)
    params = {"w": jnp.arange(1.0, 5.0)}
    state, other = ours.init(params), expected.init(params)
    for step in range(4):
        gradients = jax.tree.map(lambda x, step=step: jnp.sin(x + step), params)
        a, state = ours.update(gradients, state, params)
        b, other = expected.update(gradients, other, params)
        np.testing.assert_allclose(a["w"], b["w"], rtol=1e-6)


def test_a_rate_for_sgd_is_none_for_adamw():
    config = RunConfig("digits_mlp", optimizer="adamw")
    with pytest.raises(UserError, match=r"0\.1, is one for sgd and not for adamw"):
        config.recipe(3)


RATES = {"sgd": 0.1, "nesterov": 0.1, "adamw": 1e-3}


@pytest.mark.parametrize(
    ("optimizer", "rate"),
    slow_but({name: (name, rate) for name, rate in RATES.items()}, "adamw"),
)
def test_autodrop_drops_on_top_of_each(digits, optimizer, rate):
    # Every angle but the first two is a trigger, without a delay.
    options = EpochAutoDrop(threshold=360.0, max_threshold=360.0, drop_delay=1)
    config = RunConfig(
        "digits_mlp", options, epochs=4, optimizer=optimizer, learning_rate=rate
    )
    # The workload's factor, as none is given.
    expected = [rate, rate, rate, 0.2 * rate]
    np.testing.assert_allclose(rates_of(digits, config), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        ({"validation_fraction": 1.0}, "validation_fraction must be .* got 1.0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
    ],
    ids=["rate", "fraction", "epochs"],
)
def test_bad_values_are_named(options, message):
    with pytest.raises(UserError, match=message):
        RunConfig("digits_mlp", **options)
