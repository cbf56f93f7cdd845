"""Warm-up, a constant rate, and decay at the end."""

from dataclasses import dataclass
from typing import ClassVar

import optax

from experiments.errors import UserError
from experiments.schedules.schedule import (
    RATE_AND_STEPS,
    Schedule,
    ScheduledOptimizer,
    check_fraction,
    follow,
)
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class WarmupStableDecay(Schedule):
    """Linear warm-up, the recipe's rate, linear decay to zero.

    Hu et al., "MiniCPM", 2024; Hägele et al., "Scaling Laws and Compute-Optimal
    Training Beyond Fixed Training Durations", 2024.
    """

    warmup: float = 0.05
    """Fraction of the run in which the rate rises."""
    decay: float = 0.2
    """Fraction of the run in which it falls."""

    source: ClassVar = "Hu et al. 2024"
    requires: ClassVar = RATE_AND_STEPS

    def __post_init__(self):
        check_fraction("warmup", self.warmup)
        check_fraction("decay", self.decay)
        if self.warmup + self.decay > 1:
            raise UserError(
                f"warm-up and decay, {self.warmup} and {self.decay}, are longer than"
                " the run: their sum must be at most 1."
            )

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """Two lines and what lies between."""
        rate = recipe.learning_rate
        warmup = round(self.warmup * recipe.steps)
        decay = round(self.decay * recipe.steps)
        parts = [
            optax.linear_schedule(0.0, rate, warmup),
            optax.linear_schedule(rate, 0.0, decay),
        ]
        return follow(optax.join_schedules(parts, [recipe.steps - decay]), recipe)
