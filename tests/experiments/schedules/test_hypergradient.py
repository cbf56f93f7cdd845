"""Hypergradient descent against the paper's algorithm in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.schedules.hypergradient import hypergradient
from tests.experiments.schedules.trajectories import as_tree, gradients_of, run

START = np.array([1.0, -2.0, 0.5, 3.0, -1.0])


def reference(
    gradients, *, rate, beta, momentum, nesterov, rule, weight_decay=0.0, floor=0.0
):
    """SGD-HD and SGDN-HD, line by line, in float64."""
    x = START.copy()
    velocity = np.zeros_like(x)
    previous = np.zeros_like(x)  # the direction of the last step
    rates, path = [], [x]
    for gradient in gradients:
        g = gradient + weight_decay * x
        h = g @ previous
        if rule == "additive":
            rate = rate + beta * h
        elif previous.any():
            rate *= 1 + beta * h / (np.linalg.norm(g) * np.linalg.norm(previous))
        rate = max(rate, floor)
        velocity = momentum * velocity + g
        previous = g + momentum * velocity if nesterov else velocity
        x = x - rate * previous
        rates.append(rate)
        path.append(x)
    return np.array(rates), np.array(path)


@pytest.mark.parametrize(
    ("momentum", "nesterov", "rule", "beta", "weight_decay"),
    [
        pytest.param(0.0, False, "additive", 2e-4, 0.0, id="sgd"),
        pytest.param(0.9, False, "additive", 2e-4, 0.1, id="heavy-ball-l2"),
        pytest.param(0.9, True, "additive", 2e-4, 0.0, id="nesterov"),
        pytest.param(0.0, False, "multiplicative", 0.05, 0.1, id="sgd-times-l2"),
        pytest.param(0.9, True, "multiplicative", 0.05, 0.0, id="nesterov-times"),
    ],
)
def test_follows_the_paper(momentum, nesterov, rule, beta, weight_decay):
    gradients = gradients_of(30)
    inner = optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.sgd(1.0, momentum=momentum, nesterov=nesterov),
    )
    link = hypergradient(
        inner,
        0.05,
        hypergradient_rate=beta,
        rule=rule,
        weight_decay=weight_decay,
    )
    path, rates, _ = run(link, START, gradients, lambda s: s.learning_rate)
    expected_rates, expected_path = reference(
        gradients,
        rate=0.05,
        beta=beta,
        momentum=momentum,
        nesterov=nesterov,
        rule=rule,
        weight_decay=weight_decay,
    )
    assert expected_rates[0] == 0.05  # the first step is at the first rate
    assert np.ptp(expected_rates) > 1e-3
    np.testing.assert_allclose(rates, expected_rates, rtol=2e-5)
    np.testing.assert_allclose(path, expected_path, rtol=2e-4, atol=2e-5)


def test_around_adam_the_direction_is_adams():
    gradients = gradients_of(12)
    link = hypergradient(optax.adam(1.0), 0.01, hypergradient_rate=1e-3)
    _, rates, _ = run(link, START, gradients, lambda s: s.learning_rate)
    # Adam's directions do not depend on the parameters.
    adam = optax.adam(1.0)
    state = adam.init(as_tree(START))
    rate, previous = 0.01, np.zeros(5)
    for gradient, seen in zip(gradients, rates, strict=True):
        rate += 1e-3 * (gradient @ previous)
        np.testing.assert_allclose(seen, rate, rtol=1e-4)
        updates, state = adam.update(as_tree(gradient), state)
        previous = -np.append(np.ravel(updates["w"]), updates["b"])


def test_rate_stops_at_its_floor_and_rises_again():
    # Two opposite gradients make a product of -10; two alike one of 10.
    a = np.array([1.0, 3.0])
    gradients = np.array([a, -a, a, a])
    link = hypergradient(
        optax.sgd(1.0), 0.05, hypergradient_rate=0.004, min_learning_rate=0.002
    )
    _, rates, _ = run(link, np.zeros(2), gradients, lambda s: s.learning_rate)
    np.testing.assert_allclose(rates, [0.05, 0.01, 0.002, 0.042], rtol=1e-5)
    link = hypergradient(optax.sgd(1.0), 0.05, hypergradient_rate=0.004)
    _, rates, _ = run(link, np.zeros(2), gradients, lambda s: s.learning_rate)
    np.testing.assert_allclose(rates, [0.05, 0.01, 0.0, 0.04], rtol=1e-5)


def test_gradients_that_are_not_finite_leave_the_rate():
    gradients = np.ones((5, 2))
    gradients[2] = np.nan
    link = hypergradient(optax.sgd(1.0), 0.05, hypergradient_rate=0.01)
    _, rates, _ = run(link, np.zeros(2), gradients, lambda s: s.learning_rate)
    np.testing.assert_allclose(rates, [0.05, 0.07, 0.07, 0.07, 0.09], rtol=1e-5)


def test_updates_keep_their_dtype_and_nothing_recompiles():
    link = hypergradient(optax.sgd(1.0, momentum=0.9), 0.05)
    params = {"w": jnp.ones((3, 2), jnp.bfloat16), "b": jnp.ones(2)}
    state = link.init(params)
    traces = []

    @jax.jit
    def step(params, state):
        traces.append(1)
        updates, state = link.update(params, state, params)
        return updates, state

    for _ in range(3):
        updates, state = step(params, state)
    assert len(traces) == 1
    assert jax.tree.map(lambda x: x.dtype, updates) == jax.tree.map(
        lambda x: x.dtype, params
    )
    assert state.learning_rate.dtype == jnp.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be a number above 0, got 0.0"),
        ({"hypergradient_rate": -1}, "hypergradient_rate must be a number 0 or more"),
        ({"weight_decay": -1e-4}, "weight_decay must be a number 0 or more"),
        ({"rule": "adaptive"}, "'additive' or 'multiplicative', got 'adaptive'"),
        (
            {"min_learning_rate": 0.2},
            "min_learning_rate must be a number 0 or more and below 0.1, got 0.2",
        ),
    ],
    ids=["rate", "beta", "decay", "rule", "floor"],
)
def test_bad_arguments(options, message):
    options = {"learning_rate": 0.1} | options
    with pytest.raises(ValueError, match=message):
        hypergradient(optax.sgd(1.0), **options)


def test_missing_parameters():
    link = hypergradient(optax.sgd(1.0), 0.1, weight_decay=0.1)
    state = link.init(jnp.ones(2))
    with pytest.raises(ValueError, match="got params=None"):
        link.update(jnp.ones(2), state)
