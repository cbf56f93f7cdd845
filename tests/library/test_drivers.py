"""The three ways to drive AutoDrop agree with each other and with optax."""

import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import RATE, STEPS, flat, make_problem, run_library
from rounding import assert_same_but_rounding
from slow import slow_but

from autodrop_optax import (
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
    with_epoch_autodrop,
)

DROPPING = {"theta_0": 4.0, "theta_max": 8.0, "n_d": 3, "rho": 0.5, "alpha_min": 1e-3}
BASES = {
    "sgd": functools.partial(optax.sgd),
    "momentum": functools.partial(optax.sgd, momentum=0.9),
    "nesterov": functools.partial(optax.sgd, momentum=0.9, nesterov=True),
    "adamw": functools.partial(optax.adamw),
}


@pytest.fixture(autouse=True)
def promotion_as_optax_needs_it():
    """optax's Adam raises a Python float to an int32: it cannot run strictly."""
    with jax.numpy_dtype_promotion("standard"):
        yield


base = pytest.mark.parametrize("base", slow_but(BASES, "adamw"))


def gradients_of(problem):
    """Gradient trees for every step, the same for every optimizer."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        yield [
            jax.tree.map(
                lambda p: jnp.asarray(rng.normal(size=p.shape), jnp.float32),
                problem.params,
            )
            for _ in range(STEPS)
        ]


def run(optimizer, params, ends_epochs=False, on_epoch=None, epochs=None):
    """Parameters after each epoch, and the state; a few ``epochs`` run uncompiled."""
    state = optimizer.init(params)
    update = optimizer.update if epochs else jax.jit(optimizer.update)
    trail = []
    for gradients in itertools.islice(gradients_of(make_problem(0)), epochs):
        for g in gradients:
            updates, state = update(g, state, params)
            params = optax.apply_updates(params, updates)
        if ends_epochs:
            params, state = end_epoch(params, state)
        if on_epoch:
            state = on_epoch(state, params)
        trail.append(params)
    return trail, state


@base
def test_the_wrapper_equals_the_link_behind(base):
    params = make_problem(0).params
    keywords = {"threshold": 3.0, "max_threshold": 3.0, "drop_delay": 3}
    link = optax.chain(base(0.1), epoch_autodrop(0.1, **keywords))
    wrapper = with_epoch_autodrop(base(0.1), 0.1, STEPS, **keywords)
    by_link, link_state = run(link, params, ends_epochs=True)
    by_wrapper, (_, wrapper_state) = run(wrapper, params)
    chex.assert_trees_all_close(by_link, by_wrapper, rtol=1e-5, atol=1e-6)
    assert int(wrapper_state.num_drops) >= 2
    assert_same_but_rounding(
        link_state[1]._replace(step=None), wrapper_state._replace(step=None)
    )


@pytest.mark.parametrize("way", ["wrapper", "counting-last", "counting-first"])
def test_all_ways_see_the_same_without_averaging(way):
    problem = make_problem(3)
    options = DROPPING | {"averaging": False}
    first = "link-first" if way.endswith("first") else "link-last"
    expected, found = (run_library(problem, options, w) for w in (first, way))
    for e, f in zip(expected, found, strict=True):
        chex.assert_trees_all_close(e, f, rtol=1e-4, atol=1e-4)


# Compiled as a whole, Adam's sums may be contracted into other operations than
# without AutoDrop beside them; operation by operation they are the same.
BIT_FOR_BIT = {
    f"{name}-{'jit' if compiled else 'eager'}-{averaging}": (base, compiled, averaging)
    for name, base in BASES.items()
    for compiled in ((True, False) if name != "adamw" else (False,))
    for averaging in (True, False)
}


@pytest.mark.parametrize(
    ("base", "compiled", "averaging"),
    slow_but(BIT_FOR_BIT, "momentum-jit-True", "adamw-eager-True"),
)
def test_threshold_zero_changes_nothing_bit_for_bit(base, compiled, averaging):
    params = make_problem(1).params
    keywords = {"threshold": 0.0, "averaging": averaging, "drop_delay": 1}
    link = epoch_autodrop(0.1, **keywords)
    epochs = None if compiled else 2
    plain, _ = run(base(0.1), params, epochs=epochs)
    behind, _ = run(optax.chain(base(0.1), link), params, True, epochs=epochs)
    ahead, _ = run(optax.chain(link, base(0.1)), params, True, epochs=epochs)
    wrapper = with_epoch_autodrop(base(0.1), 0.1, STEPS, **keywords)
    wrapped, _ = run(wrapper, params, epochs=epochs)
    for trail in (behind, ahead, wrapped):
        chex.assert_trees_all_equal(trail, plain)


@base
def test_behind_it_is_setting_the_learning_rate_by_hand(base):
    params = make_problem(2).params
    keywords = {"threshold": 3.0, "max_threshold": 3.0, "drop_delay": 2}
    link = optax.chain(base(0.1), epoch_autodrop(0.1, averaging=False, **keywords))
    rates = []

    def note(state, params):
        rates.append(float(autodrop_metrics(state)["learning_rate"]))
        return state

    by_link, _ = run(link, params, ends_epochs=True, on_epoch=note)
    assert len(set(rates)) >= 3

    by_hand = optax.inject_hyperparams(base.func)(0.1, **base.keywords)
    epoch_rates = iter(rates)

    def set_rate(state, params):
        state.hyperparams["learning_rate"] = jnp.asarray(next(epoch_rates), jnp.float32)
        return state

    expected, _ = run(by_hand, params, on_epoch=set_rate)
    # 160 steps, each of which rounds parameters of up to 10 by up to 5e-7.
    chex.assert_trees_all_close(by_link, expected, rtol=1e-4, atol=1e-4)


def test_in_front_it_is_the_heavy_ball_of_equation_7():
    # With s = 0: x_{t+1} = x_t - alpha_t g + beta (x_t - x_{t-1})
    problem = make_problem(4)
    options = DROPPING | {"averaging": False}
    found = run_library(problem, options, "link-first")
    assert found[-1]["num_drops"] >= 3
    x = x_before = flat(problem.params)
    alpha = RATE
    for t, centres in enumerate(problem.centres):
        for c in centres:
            g = problem.curvature * (x - c)
            x, x_before = x - alpha * g + 0.9 * (x - x_before), x
        alpha = found[t]["learning_rate"]
        np.testing.assert_allclose(found[t]["params"], x, rtol=1e-4, atol=1e-5)


def test_scaling_in_front_of_adam_does_nothing():
    params = make_problem(5).params
    keywords = {"threshold": 3.0, "max_threshold": 3.0, "drop_delay": 1,
                "averaging": False}  # fmt: skip
    ahead = optax.chain(
        epoch_autodrop(0.1, **keywords), optax.adam(0.1, b1=0, b2=0, eps=0)
    )
    trail, state = run(ahead, params, ends_epochs=True)
    plain, _ = run(optax.adam(0.1, b1=0, b2=0, eps=0), params)
    assert int(state[0].num_drops) >= 2
    chex.assert_trees_all_close(trail, plain, rtol=1e-4, atol=1e-4)


def test_a_schedule_in_the_chain_goes_on_working():
    warm_up = optax.linear_schedule(0.0, 0.1, 10)
    optimizer = optax.chain(optax.sgd(warm_up), epoch_autodrop(0.1))
    params = jnp.ones(2)
    state = optimizer.init(params)
    for step in range(12):
        updates, state = optimizer.update(jnp.ones(2), state, params)
        np.testing.assert_allclose(updates, -warm_up(step), rtol=1e-6)


def test_a_counting_link_drops_at_the_first_step_of_the_next_epoch():
    optimizer = epoch_autodrop(1.0, steps_per_epoch=2, averaging=False, threshold=1.0,
                         drop_delay=1, drop_factor=0.5)  # fmt: skip
    params = jnp.zeros(1)
    state = optimizer.init(params)
    scales = []
    for _ in range(8):  # a straight line: saturated from epoch 3 on
        updates, state = optimizer.update(jnp.ones(1), state, params)
        scales.append(float(updates[0]))
        params = params + 1.0
    assert scales == [1, 1, 1, 1, 1, 1, 0.5, 0.5]


def test_each_group_ends_its_own_epochs():
    optimizer = optax.partition(
        {
            "fast": optax.chain(
                optax.sgd(0.1),
                epoch_autodrop(
                    0.1, threshold=180.0, max_threshold=180.0, drop_delay=1
                ),
            ),
            "still": optax.chain(optax.sgd(0.1), epoch_autodrop(0.1, threshold=0.0)),
            "frozen": optax.set_to_zero(),
        },
        {"x": "fast", "y": "still", "z": "frozen"},
    )  # fmt: skip
    params = {"x": jnp.ones(4), "y": {"deep": jnp.ones((2, 2))}, "z": jnp.arange(3)}
    state = optimizer.init(params)
    rng = np.random.default_rng(0)
    for _ in range(6):
        gradients = {
            "x": jnp.asarray(rng.normal(size=4), jnp.float32),
            "y": {"deep": jnp.asarray(rng.normal(size=(2, 2)), jnp.float32)},
            "z": jnp.zeros(3, int),
        }
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        params, state = end_epoch(params, state)
    metrics = autodrop_metrics(state)
    drops = {k: float(v) for k, v in metrics.items() if "num_drops" in k}
    assert drops == {"fast/num_drops": 4, "still/num_drops": 0}
    np.testing.assert_array_equal(params["z"], np.arange(3))
