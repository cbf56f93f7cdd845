"""Heavy ball, Nesterov and gradient descent as one transformation (equation 7)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax


class UnifiedMomentumState(NamedTuple):
    """State of :func:`unified_momentum`.

    Attributes:
      step: updates so far, shape (), int32.
      lag: v_t = x_t - y^s_t, shaped and typed like the parameters.
    """

    step: jax.Array
    lag: optax.Updates


def unified_momentum(
    learning_rate: float | optax.Schedule, beta: float, s: float
) -> optax.GradientTransformation:
    """The unified momentum method (Teng, Wang, Choromanska, 2021, equation 7).

    With x_t the parameters, G_t the gradient in them and alpha_t the rate,

        y_{t+1}   = x_t - alpha_t G_t
        y^s_{t+1} = x_t - s alpha_t G_t
        x_{t+1}   = y_{t+1} + beta (y^s_{t+1} - y^s_t),    y^s_0 = x_0.

    s = 0 is the heavy-ball method, s = 1 Nesterov's, and s = 1/(1 - beta) gradient
    descent with rate alpha_t/(1 - beta). The form is that of Yang, Lin and Li (2016).

    What is kept is v_t = x_t - y^s_t and not y^s_t: the two are the same method, but
    the difference of two nearly equal sets of parameters would lose digits,

        x_{t+1} = x_t - alpha_t G_t + beta (v_t - s alpha_t G_t)
        v_{t+1} = beta v_t - (1 + beta s - s) alpha_t G_t.

    The rate is inside of the sum that beta makes, so with a rate that varies this is
    ``optax.chain(optax.scale_by_schedule(alpha), optax.sgd(1.0, beta, nesterov))`` and
    not ``optax.sgd(alpha, beta, nesterov)``, which scales the sum.

    Args:
      learning_rate: alpha, a number or a schedule of the number of updates so far.
      beta: the momentum, 0 <= beta < 1.
      s: which method, s >= 0.

    Returns:
      The transformation. Its updates have the gradients' shapes and dtypes.

    Raises:
      ValueError: ``beta`` or ``s`` is a Python number out of its range.
    """
    if isinstance(beta, int | float) and not 0 <= beta < 1:
        raise ValueError(f"beta must be in [0, 1), got {beta}.")
    if isinstance(s, int | float) and not s >= 0:
        raise ValueError(f"s must be at least 0, got {s}.")

    def init(params):
        return UnifiedMomentumState(
            step=jnp.zeros((), jnp.int32), lag=jax.tree.map(jnp.zeros_like, params)
        )

    def update(updates, state, params=None):
        del params
        rate = learning_rate(state.step) if callable(learning_rate) else learning_rate

        def combine(of_lag, of_gradient):
            return jax.tree.map(
                lambda v, g: (
                    jnp.asarray(of_lag, v.dtype) * v
                    - jnp.asarray(of_gradient, g.dtype) * g
                ),
                state.lag,
                updates,
            )

        change = combine(beta, rate * (1 + beta * s))
        lag = combine(beta, rate * (1 + beta * s - s))
        step = jnp.asarray(optax.safe_increment(state.step))
        return change, UnifiedMomentumState(step, lag)

    return optax.GradientTransformation(init, update)
