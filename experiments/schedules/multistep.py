"""The usual hand-made schedule."""

from dataclasses import dataclass, replace
from typing import ClassVar, cast

import optax

from experiments.schedules.schedule import (
    RATE_AND_STEPS,
    Schedule,
    ScheduledOptimizer,
    check_fraction,
    check_milestones,
    follow,
)
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class Multistep(Schedule):
    """The recipe's rate, dropped after fixed fractions of the run."""

    milestones: tuple[float, ...] | None = None
    """Fractions of the run after which the rate drops; None: the workload's recipe."""
    drop_factor: float | None = None
    """What a drop multiplies the rate by; None: the workload's recipe."""

    requires: ClassVar = replace(RATE_AND_STEPS, also="the milestones")

    def __post_init__(self):
        if self.milestones is not None:
            check_milestones(self.milestones)
        if self.drop_factor is not None:
            check_fraction("drop_factor", self.drop_factor)

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """Drops at the ends of epochs."""
        factor = cast(float, self.drop_factor)
        scales: dict[int, float] = {}
        for fraction in cast(tuple[float, ...], self.milestones):
            step = round(fraction * recipe.epochs) * recipe.steps_per_epoch
            # In a very short run two milestones may fall on one epoch: both count.
            scales[step] = scales.get(step, 1.0) * factor
        rate = optax.piecewise_constant_schedule(recipe.learning_rate, scales)
        return follow(rate, recipe)
