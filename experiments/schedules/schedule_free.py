"""Averaging in place of a schedule (Defazio et al., "The Road Less Scheduled", 2024).

Trained is the point at which gradients are taken; evaluated is the average. The updates
lead from one such point to the next and must not be scaled.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import optax

from experiments.schedules.schedule import (
    Requirements,
    Schedule,
    ScheduledOptimizer,
    check_fraction,
    check_positive,
)
from experiments.task.recipe import Recipe

_REQUIRES = Requirements(rate=True, also="a warm-up")


@dataclass(frozen=True)
class ScheduleFreeSGD(Schedule):
    """Schedule-free SGD with warm-up."""

    rate_factor: float = 10.0
    """Of the recipe's rate: their SGD has no momentum buffer to add to it. They advise
    10 to 50 times the usual rate."""
    warmup: float = 0.05
    """Fraction of the run in which the rate rises."""

    source: ClassVar = "Defazio et al. 2024"
    requires: ClassVar = _REQUIRES

    def __post_init__(self):
        check_positive("rate_factor", self.rate_factor)
        check_fraction("warmup", self.warmup)

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The optimizer alone."""
        rate = self.rate_factor * recipe.learning_rate
        warmup = round(self.warmup * recipe.steps)
        optimizer = optax.contrib.schedule_free_sgd(
            rate,
            warmup_steps=warmup,
            b1=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        return _averaged(optimizer, rate, warmup)


@dataclass(frozen=True)
class ScheduleFreeAdamW(Schedule):
    """Schedule-free AdamW with warm-up."""

    rate: float = 2.5e-3
    """Its rate; the authors' default."""
    warmup: float = 0.05
    """Fraction of the run in which the rate rises."""

    source: ClassVar = "Defazio et al. 2024"
    requires: ClassVar = _REQUIRES
    copies: ClassVar = 2
    base_copies: ClassVar = 2

    def __post_init__(self):
        check_positive("rate", self.rate)
        check_fraction("warmup", self.warmup)

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The optimizer alone."""
        warmup = round(self.warmup * recipe.steps)
        optimizer = optax.contrib.schedule_free_adamw(
            self.rate,
            warmup_steps=warmup,
            b1=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        return _averaged(optimizer, self.rate, warmup)


def _averaged(
    optimizer: optax.GradientTransformation, rate: float, warmup: int
) -> ScheduledOptimizer:
    """A schedule-free optimizer, evaluated at its average."""
    rates = optax.warmup_constant_schedule(0.0, rate, warmup)
    return ScheduledOptimizer(
        optimizer,
        lambda _, step: jnp.asarray(rates(step)),
        eval_params=optax.contrib.schedule_free_eval_params,
    )
