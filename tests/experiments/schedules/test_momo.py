"""MoMo's recorded step size against the paper's formula."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.schedules.momo import recorded_momo
from tests.experiments.schedules.trajectories import as_tree


@pytest.mark.parametrize("decay", [0.0, 0.1], ids=["plain", "decay"])
@pytest.mark.parametrize("most", [1.0, 0.02], ids=["polyak", "at-most"])
def test_step_size(decay, most):
    rng = np.random.default_rng(0)
    link = recorded_momo(most, beta=0.9, weight_decay=decay)
    plain = optax.contrib.momo(most, beta=0.9, weight_decay=decay)
    x = rng.normal(size=5)
    state, plain_state = link.init(as_tree(x)), plain.init(as_tree(x))
    assert state.learning_rate == np.float32(most)
    found = []
    for step in range(6):
        gradient, loss = rng.normal(size=5), 0.1 + rng.uniform()
        # Averages of the gradient, of the loss, and of <g, x>; the bound is 0.
        share = 1.0 if step == 0 else 0.1
        if step == 0:
            m, f, gamma = np.zeros(5), 0.0, 0.0
        m = (1 - share) * m + share * gradient
        f = (1 - share) * f + share * loss
        gamma = (1 - share) * gamma + share * (gradient @ x)
        model = (1 + most * decay) * (f - gamma) + m @ x
        tau = min(most, max(model, 0.0) / (m @ m))
        arguments = as_tree(gradient), state, as_tree(x)
        updates, state = link.update(*arguments, value=jnp.float32(loss))
        theirs, plain_state = plain.update(
            as_tree(gradient), plain_state, as_tree(x), value=jnp.float32(loss)
        )
        np.testing.assert_array_equal(updates["w"], theirs["w"])
        np.testing.assert_allclose(state.learning_rate, tau, rtol=1e-4, atol=1e-6)
        found.append(tau)
        x = x + np.append(np.ravel(updates["w"]), updates["b"])
    assert (max(found) == most) == (most == 0.02)


def test_gradients_of_zero():
    link = recorded_momo()
    state = link.init(jnp.ones(2))
    _, state = link.update(jnp.zeros(2), state, jnp.ones(2), value=jnp.float32(1))
    assert state.learning_rate == 0


def test_bad_arguments():
    with pytest.raises(ValueError, match="learning_rate must be a number above 0"):
        recorded_momo(0.0)
    with pytest.raises(ValueError, match="beta must be a number 0 or more and below 1"):
        recorded_momo(beta=1.0)
