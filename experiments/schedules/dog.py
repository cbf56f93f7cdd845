"""SGD at a distance over gradients: DoG and DoWG."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import optax

from experiments.schedules.schedule import Requirements, Schedule, ScheduledOptimizer
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class Dog(Schedule):
    """SGD at distance over gradients (Ivgi et al. 2023), without their averaging."""

    source: ClassVar = "Ivgi et al. 2023"
    requires: ClassVar = Requirements(also="an average of the parameters")

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The optimizer alone."""

        def rate(state, step):
            del step
            state = state[1]
            return state.max_dist / jnp.sqrt(state.sum_sq_norm_grads + 1e-8)

        return ScheduledOptimizer(optax.contrib.dog(weight_decay=recipe.penalty), rate)


@dataclass(frozen=True)
class Dowg(Schedule):
    """SGD at distance over weighted gradients (Khaled et al. 2023)."""

    source: ClassVar = "Khaled et al. 2023"
    requires: ClassVar = Requirements()

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The optimizer alone."""

        def rate(state, step):
            del step
            state = state[1]
            return state.estim_sq_dist / (jnp.sqrt(state.weighted_sq_norm_grads) + 1e-4)

        return ScheduledOptimizer(optax.contrib.dowg(weight_decay=recipe.penalty), rate)
