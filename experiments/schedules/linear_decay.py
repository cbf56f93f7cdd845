"""Linear decay, the schedule to beat where the length of the run is known."""

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
class LinearDecay(Schedule):
    """The recipe's rate, linearly to zero over the run."""

    requires: ClassVar = RATE_AND_STEPS

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """A line."""
        rate = optax.linear_schedule(recipe.learning_rate, 0.0, recipe.steps)
        return follow(rate, recipe)
