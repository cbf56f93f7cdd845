"""Pflug's diagnostic: successive gradients that disagree are stationary noise."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.schedules._checks import check_count, check_number
from experiments.schedules._trees import dot, scaled
from experiments.schedules.schedule import Requirements, Schedule, ScheduledOptimizer
from experiments.task.recipe import Recipe


class PflugState(NamedTuple):
    """State of :func:`pflug`."""

    scale: jax.Array  # shape (), float32: the rate over the first rate
    num_drops: jax.Array  # shape (), int32
    steps: jax.Array  # shape (), int32: n, since the last drop
    statistic: jax.Array  # shape (), float32: S_n
    previous_gradient: Any  # like the parameters, float32: g_{n-1}
    inner_state: optax.OptState


def pflug(
    optimizer: optax.GradientTransformation,
    *,
    burn_in: int,
    drop_factor: float = 0.5,
) -> optax.GradientTransformationExtraArgs:
    r"""Drops the rate when the inner products of successive gradients sum below 0.

    Pflug, "Non-asymptotic confidence bounds for stochastic approximation algorithms
    with constant step size", Monatshefte fuer Mathematik 110, 1990; as an algorithm in
    Chee, Toulis, "Convergence diagnostics for stochastic gradient descent with
    constant learning rate", AISTATS 2018, Algorithm 1. With n counted since the last
    drop and :math:`g_n` the stochastic gradient of step n:

    .. math::
      S_n = \sum_{i = b + 1}^{n} \langle g_i, g_{i-1} \rangle, \quad
      S_n < 0 \Rightarrow \text{drop},\ S = 0,\ n = 0.

    Attributed to the papers from memory, and not checked against their text: the
    statistic, the test, the burn-in b after every drop, and halving. (Pesme et al. 2020
    test the mean of the same products, which has the same sign.) What is a choice: the
    diagnostic is stated for plain SGD. Here it reads the gradients that come in, and
    scales the updates of whatever optimizer it wraps, as setting its rate would; a
    penalty or a decay that the optimizer adds itself is not in them. The burn-in has no
    default: the papers tune it.

    Args:
      optimizer: what is wrapped, at a constant rate.
      burn_in: b, steps after every drop whose products do not count, 1 or more.
      drop_factor: what a drop multiplies the rate by, between 0 and 1.

    Returns:
      A transformation that keeps one copy of the parameters beside the state of
      ``optimizer``. A drop acts from the next step on.

    Raises:
      ValueError: an argument is out of its range.
    """
    check_count("burn_in", burn_in)
    check_number("drop_factor", drop_factor, low=0, high=1)
    inner = optax.with_extra_args_support(optimizer)

    def init(params: optax.Params) -> PflugState:
        return PflugState(
            scale=jnp.float32(1),
            num_drops=jnp.int32(0),
            steps=jnp.int32(0),
            statistic=jnp.float32(0),
            previous_gradient=optax.tree.zeros_like(params, jnp.float32),
            inner_state=inner.init(params),
        )

    def update(updates, state, params=None, **extra_args):
        steps = state.steps + 1
        product = dot(updates, state.previous_gradient)
        statistic = jnp.where(steps > burn_in, state.statistic + product, 0)
        drop = statistic < 0
        gradient = jax.tree.map(lambda g: g.astype(jnp.float32), updates)
        updates, inner_state = inner.update(
            updates, state.inner_state, params, **extra_args
        )
        return scaled(updates, state.scale), PflugState(
            scale=jnp.where(drop, state.scale * drop_factor, state.scale),
            num_drops=state.num_drops + drop,
            steps=jnp.where(drop, 0, steps),
            statistic=jnp.where(drop, 0, statistic),
            previous_gradient=gradient,
            inner_state=inner_state,
        )

    return optax.GradientTransformationExtraArgs(init, update)


@dataclass(frozen=True)
class Pflug(Schedule):
    """The rate halved where successive gradients disagree (Pflug 1990)."""

    burn_in: int | None = None
    """Steps before the sum counts, which the papers tune; None: those of an epoch."""

    source: ClassVar = "Pflug 1990"
    requires: ClassVar = Requirements(rate=True, also="a burn-in")
    copies: ClassVar = 2

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The wrapper around the recipe's optimizer."""
        rate = recipe.learning_rate
        burn_in = recipe.steps_per_epoch if self.burn_in is None else self.burn_in
        return ScheduledOptimizer(
            optimizer=pflug(recipe.optimizer(rate), burn_in=burn_in),
            learning_rate=lambda state, _: rate * state.scale,
            metrics=lambda state: {"num_drops": state.num_drops},
        )
