"""AutoDrop of epochs on top of linear decay."""

from dataclasses import dataclass
from typing import ClassVar

import optax

from experiments.schedules.scaled_epoch_autodrop import ScaledEpochAutoDrop
from experiments.schedules.schedule import ScheduledOptimizer
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class EpochAutoDropLinearDecay(ScaledEpochAutoDrop):
    """As scaled_epoch_autodrop, times linear decay to zero over the run."""

    source: ClassVar = ""

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The link behind the recipe's optimizer, whose rate decays."""
        decay = optax.linear_schedule(1.0, 0.0, recipe.steps)
        return self.scaled(recipe.epochs).times(decay, recipe)
