"""Cosine decay, the usual schedule where the length of the run is known."""

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
class Cosine(Schedule):
    """The recipe's rate, to zero along half a cosine."""

    source: ClassVar = "Loshchilov, Hutter 2017"
    requires: ClassVar = RATE_AND_STEPS

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """Half a cosine."""
        rate = optax.cosine_decay_schedule(recipe.learning_rate, recipe.steps)
        return follow(rate, recipe)
