"""The convex problems, their optima, and runs on them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from slow import slow_but

from experiments.theory.convex import PROBLEMS, Method, run
from experiments.theory.momentum import unified_momentum
from experiments.theory.quadratics import Quadratics, expected_gaps
from experiments.theory.stepwise import StepwiseRates
from experiments.theory.theorem2 import bound

STEPS = StepwiseRates(np.array([0.4, 0.1, 0.02]), np.array([40, 60, 100]))


@pytest.mark.parametrize("name", PROBLEMS)
def test_nothing_near_the_minimum_is_lower(name):
    problem = PROBLEMS[name]()
    directions = np.random.default_rng(0).normal(size=(200, len(problem.minimiser)))
    assert problem.gap(problem.minimiser) == pytest.approx(0, abs=1e-9)
    for size in (1e-4, 1e-2, 1.0):
        assert (problem.gap(problem.minimiser + size * directions) > 0).all()


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_slope_is_that_of_the_loss(name):
    problem = PROBLEMS[name]()
    margins = np.array([-3.0, -0.2, 0.95, 1.05, 5.0])
    h = 1e-6
    slopes = (problem.loss(margins + h) - problem.loss(margins - h)) / (2 * h)
    np.testing.assert_allclose(problem.slope(jnp.asarray(margins)), slopes, atol=1e-5)
    # So that |a_i|^2 bounds the squares of the stochastic gradients.
    assert (np.abs(slopes) <= 1 + 1e-6).all()


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_bound_holds_and_the_gap_falls(name):
    problem = PROBLEMS[name]()
    methods = [Method(0.0, 0.0), Method(0.5, 0.0), Method(0.5, 1.0), Method(0.5, 2.0)]
    measured = run(problem, STEPS, methods, seeds=8, stride=10)
    assert measured.gaps.shape == (4, 8, 20)
    np.testing.assert_array_equal(measured.steps, np.arange(0, 200, 10))
    assert (measured.gaps > 0).all()
    for method, smallest in zip(methods, measured.smallest_mean()[:, -1], strict=True):
        constants = problem.constants(method)
        assert smallest < constants.initial_gap / 3
        assert smallest <= bound(STEPS, constants).total


def test_a_run_is_the_optimizer_step_by_step():
    problem = PROBLEMS["logistic"]()
    beta, s, stride = 0.5, 1.0, 7
    measured = run(problem, STEPS, [Method(beta, s)], seeds=2, stride=stride)
    optimizer = unified_momentum(STEPS.schedule(), beta, s)
    w = jnp.zeros(problem.rows.shape[1])
    state = optimizer.init(w)
    rows = jnp.asarray(problem.rows, jnp.float32)

    @jax.jit
    def step(w, state, index):
        gradient = problem.slope(rows[index] @ w) * rows[index]
        updates, state = optimizer.update(gradient, state, w)
        return optax.apply_updates(w, updates), state

    for time, gap in enumerate(measured.gaps[0, 1]):
        assert problem.gap(np.asarray(w)) == pytest.approx(gap, rel=1e-4)
        key = jax.random.fold_in(jax.random.key(1), time)
        for index in jax.random.randint(key, (stride,), 0, len(rows)):
            w, state = step(w, state, index)


@pytest.mark.parametrize("s", slow_but({"0": 0.0, "1": 1.0, "2": 2.0}, "1"))
def test_expected_gaps_are_those_of_many_runs(s):
    beta, a, sigma = 0.5, 0.7, 0.5
    problems = Quadratics(np.array([a]), np.array([sigma]), np.array([1.0]))
    exact = expected_gaps(problems, STEPS, Method(beta, s))
    optimizer = unified_momentum(STEPS.schedule(), beta, s)

    def step(carry, noise):
        x, state = carry
        gradient = a * x + sigma * noise
        updates, state = optimizer.update(gradient, state, x)
        return (optax.apply_updates(x, updates), state), (x, gradient)

    x = jnp.ones(10_000)  # so many runs at once
    noise = jax.random.normal(jax.random.key(0), (STEPS.num_steps, *x.shape))
    _, (xs, gradients) = jax.lax.scan(step, (x, optimizer.init(x)), noise)
    gaps = a * np.square(xs).mean(axis=1) / 2
    # A mean of 10000 squares is off by 1.4 %.
    np.testing.assert_allclose(gaps, exact.gap[:, 0], rtol=0.07)
    np.testing.assert_allclose(
        np.minimum.accumulate(gaps), exact.smallest[:, 0], rtol=0.07
    )
    np.testing.assert_allclose(
        np.maximum.accumulate(np.square(gradients).mean(axis=1)),
        exact.second_moment[:, 0],
        rtol=0.07,
    )


def test_a_stride_only_leaves_out():
    problems = Quadratics(np.array([0.7]), np.array([0.5]), np.array([1.0]))
    every = expected_gaps(problems, STEPS, Method(0.5, 1.0))
    some = expected_gaps(problems, STEPS, Method(0.5, 1.0), stride=30)
    np.testing.assert_array_equal(some.steps, 30 * np.arange(1, 7))
    for name in ("gap", "smallest", "second_moment"):
        expected = getattr(every, name)[some.steps - 1]
        np.testing.assert_allclose(getattr(some, name), expected, rtol=1e-12)
