"""MoMo with its step size in the state, where it can be read."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.schedules._checks import check_number
from experiments.schedules._trees import dot, require_params, squared_norm
from experiments.schedules.schedule import Requirements, Schedule, ScheduledOptimizer
from experiments.task.recipe import Recipe


class MomoState(NamedTuple):
    """State of :func:`recorded_momo`."""

    learning_rate: jax.Array  # shape (), float32: tau of the last step
    inner_state: optax.OptState  # of optax.contrib.momo


def recorded_momo(
    learning_rate: float = 1.0, *, beta: float = 0.9, weight_decay: float = 0.0
) -> optax.GradientTransformationExtraArgs:
    r"""``optax.contrib.momo``, which does not keep the step size that it took.

    Schaipp, Ohana, Eickenberg, Defazio, Gower, "MoMo: Momentum Models for Adaptive
    Learning Rates", ICML 2024. With m the momentum and c the decay's share, its update
    is :math:`u = -c x - \tau m`, so :math:`\tau = -\langle u + c x, m \rangle / |m|^2`.

    Args:
      learning_rate: the most that :math:`\tau` can be, above 0, and what the state has
        before the first step.
      beta: of the momentum, 0 or more and below 1.
      weight_decay: as MoMo's, 0 or more.

    Returns:
      The same updates. Like MoMo it takes the loss as ``value``.

    Raises:
      ValueError: an argument is out of its range.
    """
    check_number("learning_rate", learning_rate, low=0)
    check_number("beta", beta, low=0, high=1, low_allowed=True)
    check_number("weight_decay", weight_decay, low=0, low_allowed=True)
    momo = optax.contrib.momo(learning_rate, beta=beta, weight_decay=weight_decay)
    shrinkage = learning_rate * weight_decay
    shrinkage /= 1 + shrinkage

    def init(params: optax.Params) -> MomoState:
        return MomoState(jnp.float32(learning_rate), momo.init(params))

    def update(updates, state, params=None, **extra_args):
        params = require_params(params, "recorded_momo")
        inner: Any
        updates, inner = momo.update(updates, state.inner_state, params, **extra_args)
        momentum = inner.exp_avg
        square = squared_norm(momentum)
        along = dot(updates, momentum) + shrinkage * dot(params, momentum)
        rate = jnp.where(square > 0, -along / jnp.where(square > 0, square, 1), 0)
        return updates, MomoState(rate, inner)

    return optax.GradientTransformationExtraArgs(init, update)


@dataclass(frozen=True)
class Momo(Schedule):
    """SGD with momentum at a Polyak step, at most 1 (Schaipp et al. 2023)."""

    source: ClassVar = "Schaipp et al. 2023"
    requires: ClassVar = Requirements(also="the loss and a lower bound of it")

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The optimizer alone."""
        return ScheduledOptimizer(
            recorded_momo(beta=recipe.momentum, weight_decay=recipe.penalty),
            lambda state, _: state.learning_rate,
        )
