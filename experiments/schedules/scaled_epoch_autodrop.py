"""epoch_autodrop with settings for 60 epochs, scaled to the length of the run."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.schedules.schedule import (
    Requirements,
    Schedule,
    ScheduledOptimizer,
)
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class ScaledEpochAutoDrop(Schedule):
    """As epoch_autodrop, with settings for 60 epochs scaled to the length of the run.

    Times scale with the run, the change of the angle per epoch inversely: 60 epochs
    give threshold 0.4, delay 5 and window 12.
    """

    drop_factor: float | None = None
    """What a drop multiplies the rate by; None: the workload's recipe."""
    min_learning_rate: float = 1e-4
    """Drops take the rate no lower."""
    threshold: float | None = None
    """Degrees per epoch; None: 24 over the epochs of the run."""
    max_threshold: float | None = None
    """Degrees per epoch; None: as the threshold at first."""
    drop_delay: int | None = None
    """Epochs from the trigger to the drop; None: a twelfth of the run."""
    averaging: bool = True
    """At a drop, replace the parameters by their average over the delay."""
    window: int | None = None
    """Epochs over which the change is averaged; None: a fifth of the run."""
    retrigger: Literal["ignore", "restart"] = "ignore"
    """What saturation during the delay does."""
    anchor: Literal["after_averaging", "before_averaging"] = "after_averaging"
    """From where the step after an averaging is measured."""

    source: ClassVar = "Teng et al. 2021"
    requires: ClassVar = Requirements(rate=True, total_steps=True, epoch_length=True)
    copies: ClassVar = 4

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The link behind the recipe's optimizer."""
        return self.scaled(recipe.epochs).build(recipe)

    def scaled(self, epochs: int) -> EpochAutoDrop:
        """Returns the settings for a number of epochs."""
        threshold = 0.4 * 60 / epochs
        scaled = {
            "threshold": threshold,
            "max_threshold": threshold,
            "drop_delay": max(1, round(epochs / 12)),
            "window": max(1, round(epochs / 5)),
        }
        given = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        return EpochAutoDrop(**(scaled | given))
