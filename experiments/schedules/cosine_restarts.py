"""Cosine decay with warm restarts."""

from dataclasses import dataclass
from typing import ClassVar

import optax

from experiments.schedules.schedule import (
    RATE_AND_STEPS,
    Schedule,
    ScheduledOptimizer,
    check_positive,
    follow,
)
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Cosine decays with warm restarts, each twice as long as the last.

    Loshchilov and Hutter, "SGDR", 2017.
    """

    periods: int = 3
    """Decays in the run, each twice as long as the one before."""

    source: ClassVar = "Loshchilov, Hutter 2017"
    requires: ClassVar = RATE_AND_STEPS

    def __post_init__(self):
        check_positive("periods", self.periods)

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """Decays whose last ends with the run."""
        parts = [2**i / (2**self.periods - 1) for i in range(self.periods)]
        decays = [
            {
                "init_value": recipe.learning_rate,
                "peak_value": recipe.learning_rate,
                "warmup_steps": 0,
                "decay_steps": max(1, round(part * recipe.steps)),
                "end_value": 0.0,
            }
            for part in parts
        ]
        return follow(optax.sgdr_schedule(decays), recipe)
