"""The rate as it is."""

from dataclasses import dataclass

import jax.numpy as jnp

from autodrop_optax import autodrop_metrics, end_epoch
from experiments.schedules.schedule import Schedule, ScheduledOptimizer, observed
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class Constant(Schedule):
    """The recipe's rate throughout."""

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The recipe's optimizer."""
        rate = recipe.learning_rate
        return ScheduledOptimizer(
            optimizer=observed(recipe.optimizer(rate), recipe),
            learning_rate=lambda state, step: jnp.float32(rate),
            metrics=autodrop_metrics,
            end_epoch=end_epoch,
        )
