"""The recipe's optimizer at a scale that is learned."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import optax

from experiments.schedules.schedule import Requirements, Schedule, ScheduledOptimizer
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class Mechanic(Schedule):
    """The recipe's optimizer at a learned scale (Cutkosky et al. 2023)."""

    source: ClassVar = "Cutkosky et al. 2023"
    requires: ClassVar = Requirements()
    copies: ClassVar = 2

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The wrapper around the recipe's optimizer."""
        return ScheduledOptimizer(
            optax.contrib.mechanize(recipe.optimizer(1.0)),
            lambda state, _: jnp.sum(state.s),
        )
