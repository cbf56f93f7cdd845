"""Unified momentum is equation 7, and optax's SGD in three cases."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.theory.momentum import unified_momentum

BETA = 0.8
STEPS = 60


def rate(count):
    return 0.3 / (1.0 + 0.2 * count) ** 0.7


def gradient(params, step):
    """Of no function: different in every step, and nonlinear."""
    return jax.tree.map(lambda p: 0.5 * p + 0.3 * jnp.sin(p + step), params)


def trajectory(optimizer, params):
    state = optimizer.init(params)
    points = []
    for step in range(STEPS):
        updates, state = optimizer.update(gradient(params, step), state, params)
        params = optax.apply_updates(params, updates)
        points.append(params)
    return points


@pytest.fixture
def params():
    return {"w": jax.random.normal(jax.random.key(0), (7, 5)), "b": jnp.ones(3)}


def scaled_first(nesterov):
    return optax.chain(
        optax.scale_by_schedule(rate), optax.sgd(1.0, BETA, nesterov=nesterov)
    )


@pytest.mark.parametrize(
    ("s", "plain"),
    [
        pytest.param(0, scaled_first(nesterov=False), id="heavy-ball"),
        pytest.param(1, scaled_first(nesterov=True), id="nesterov"),
        pytest.param(
            1 / (1 - BETA),
            optax.sgd(lambda count: rate(count) / (1 - BETA)),
            id="gradient-descent",
        ),
    ],
)
def test_it_is_optax_sgd_to_rounding(params, s, plain):
    ours = trajectory(unified_momentum(rate, BETA, s), params)
    theirs = trajectory(plain, params)
    for a, b in zip(ours, theirs, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), a, b)


@pytest.mark.parametrize("nesterov", [False, True])
def test_scaling_behind_the_momentum_is_another_method(params, nesterov):
    ours = trajectory(unified_momentum(rate, BETA, int(nesterov)), params)
    theirs = trajectory(optax.sgd(rate, BETA, nesterov=nesterov), params)
    apart = [np.abs(a["w"] - b["w"]).max() for a, b in zip(ours, theirs, strict=True)]
    assert max(apart) > 0.02


@pytest.mark.parametrize("s", [0, 0.5, 1, 1 / (1 - BETA), 3])
def test_it_is_equation_7_in_float64(s):
    with jax.enable_x64(True):
        start = np.linspace(-1, 1, 5)
        points = trajectory(unified_momentum(rate, BETA, s), jnp.asarray(start))
        x, y_s = start, start
        for step, point in enumerate(points):
            g = np.asarray(gradient(x, step))
            y, y_s_next = x - rate(step) * g, x - s * rate(step) * g
            x = y + BETA * (y_s_next - y_s)
            y_s = y_s_next
            np.testing.assert_allclose(point, x, rtol=1e-11, atol=1e-11)


def test_dtypes_stay_and_nothing_recompiles():
    params = {"half": jnp.ones(3, jnp.bfloat16), "single": jnp.ones(3)}
    optimizer = unified_momentum(rate, BETA, 1)
    traces = []

    @jax.jit
    def step(params, state):
        traces.append(None)
        updates, state = optimizer.update(params, state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for _ in range(3):
        params, state = step(params, state)
    assert len(traces) == 1
    for tree in (params, state.lag):
        assert tree["half"].dtype == jnp.bfloat16
        assert tree["single"].dtype == jnp.float32


@pytest.mark.parametrize(
    ("beta", "s", "message"),
    [
        (1.0, 0, "beta must be in"),
        (-0.1, 0, "beta must be in"),
        (0.9, -1, "s must be at least 0"),
        (float("nan"), 0, "beta must be in"),
    ],
)
def test_values_out_of_range_are_refused(beta, s, message):
    with pytest.raises(ValueError, match=message):
        unified_momentum(0.1, beta, s)
