"""The model as a workload of the library, against exact expectations."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from autodrop_optax import epoch_autodrop
from experiments.theory.moments import expected_run
from experiments.theory.noisy_quadratic import (
    SPECTRA,
    START,
    NoisyQuadratic,
    constant,
    simulate,
    unit_noise,
)

SMALL = NoisyQuadratic(np.array([0.5, 4.0, 9.0, 20.0]), np.array([2.0, 1.0, 0.5, 1.5]))


def test_a_gradient_is_that_of_the_loss_seen():
    key = jax.random.key(0)
    x = jnp.array([1.0, -2.0, 0.5, 3.0])
    c = jnp.asarray(SMALL.noise) * jax.random.normal(key, (4,))

    def seen(x):
        return (x - c) @ jnp.diag(jnp.asarray(SMALL.curvatures)) @ (x - c) / 2

    np.testing.assert_allclose(SMALL.gradient(x, key), jax.grad(seen)(x), rtol=1e-5)
    np.testing.assert_allclose(SMALL.loss(x), (0.5 + 16 + 2.25 + 180) / 2)


RATES = np.array([0.06, 0.06, 0.03, 0.03, 0.01, 0.08, 0.002, 0.05])


def by_schedule(rates):
    rates = jnp.float32(rates)
    watch = epoch_autodrop(1.0, threshold=0.0, averaging=False)
    return optax.chain(optax.sgd(lambda count: rates[count]), watch)


@pytest.mark.parametrize(
    ("optimizer", "rates"),
    [
        pytest.param(
            constant(0.05), np.full(12, 0.05), id="constant", marks=pytest.mark.slow
        ),
        pytest.param(by_schedule(RATES), RATES, id="schedule"),
    ],
)
def test_the_mean_of_many_runs_is_the_expectation(optimizer, rates):
    model = jax.tree.map(jnp.float32, SMALL)
    keys = jax.random.split(jax.random.key(1), 20_000)
    run = jax.vmap(lambda key: simulate(model, optimizer, len(rates), key))
    losses = np.asarray(jax.jit(run)(keys).loss)
    error = losses.std(axis=0, ddof=1) / np.sqrt(len(keys))
    z = (losses.mean(axis=0) - expected_run(SMALL, rates).loss) / error
    assert np.abs(z).max() < 4.5


def test_the_angle_is_that_of_consecutive_steps():
    model = unit_noise(np.linspace(1, 5, 7).astype(np.float32))
    key = jax.random.key(2)
    run = simulate(model, constant(0.1), 6, key)
    x, points = np.full(7, START), [np.full(7, START)]
    for k in jax.random.split(key, 6):
        c = np.asarray(jax.random.normal(k, (7,)), np.float64)
        x = x - 0.1 * np.linspace(1, 5, 7) * (x - c)
        points.append(x)
    steps = np.diff(points, axis=0)
    for t in range(1, 6):
        a, b = steps[t - 1], steps[t]
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        expected = np.degrees(np.arccos(cosine))
        np.testing.assert_allclose(run.angular_velocity[t], expected, atol=2e-3)
    assert np.isnan(run.angular_velocity[0])
    np.testing.assert_allclose(run.learning_rate, 0.1, rtol=1e-6)
    assert not np.any(run.num_drops)


def test_the_spectra_are_what_the_results_say():
    assert [len(a) for a in SPECTRA.values()] == [200, 300, 1000]
    assert all(a.max() == 20 for a in SPECTRA.values())
    np.testing.assert_allclose(SPECTRA["linear"][[0, 1, -1]], [0.1, 0.2, 20])
