"""AutoDrop's average of the parameters, under rates that look at nothing.

What these give is the average's share in what AutoDrop gives.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from autodrop_optax import autodrop, autodrop_eval_params
from experiments.schedules.constant import Constant
from experiments.schedules.cosine import Cosine
from experiments.schedules.linear_decay import LinearDecay
from experiments.schedules.schedule import Schedule, ScheduledOptimizer, follow
from experiments.schedules.warmup_stable_decay import WarmupStableDecay
from experiments.task.recipe import Recipe


def averaged(scheduled: ScheduledOptimizer) -> ScheduledOptimizer:
    """The same training, of which the average is evaluated: AutoDrop without drops."""
    return scheduled._replace(
        optimizer=optax.chain(scheduled.optimizer, autodrop(max_angle=180.0)),
        learning_rate=lambda state, step: scheduled.learning_rate(state[0], step),
        eval_params=autodrop_eval_params,
    )


class _Average(Schedule):
    """The next base's schedule; the average is evaluated."""

    copies: ClassVar = 4

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """As the next base does, averaged."""
        return averaged(super().build(recipe))


@dataclass(frozen=True)
class ConstantAverage(_Average, Constant):
    """The recipe's rate throughout; the average is evaluated."""


@dataclass(frozen=True)
class InverseSqrtAverage(Schedule):
    """The recipe's rate over sqrt(1 + epochs done); the average is evaluated."""

    copies: ClassVar = 4

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The rate falls from step to step."""

        def rate(step: jax.typing.ArrayLike) -> jax.Array:
            epochs = jnp.asarray(step, jnp.float32) / recipe.steps_per_epoch
            return recipe.learning_rate * jax.lax.rsqrt(1.0 + epochs)

        return averaged(follow(rate, recipe))


@dataclass(frozen=True)
class LinearDecayAverage(_Average, LinearDecay):
    """The recipe's rate, linearly to zero; the average is evaluated."""


@dataclass(frozen=True)
class CosineAverage(_Average, Cosine):
    """The recipe's rate, to zero along half a cosine; the average is evaluated."""


@dataclass(frozen=True)
class WarmupStableDecayAverage(_Average, WarmupStableDecay):
    """Warm-up, the recipe's rate, linear decay; the average is evaluated."""
