"""One cycle of the rate."""

from dataclasses import dataclass
from typing import ClassVar

import optax

from experiments.schedules.schedule import (
    RATE_AND_STEPS,
    Schedule,
    ScheduledOptimizer,
    follow,
)
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to the recipe's rate and down to nearly zero, along cosines.

    Smith and Topin, "Super-Convergence", 2018, with optax's fractions; the momentum
    stays as it is.
    """

    source: ClassVar = "Smith, Topin 2018"
    requires: ClassVar = RATE_AND_STEPS

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """Two halves of cosines."""
        rate = optax.cosine_onecycle_schedule(recipe.steps, recipe.learning_rate)
        return follow(rate, recipe)
