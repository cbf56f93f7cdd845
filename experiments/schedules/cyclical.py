"""Cyclical rates."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from experiments.schedules.schedule import (
    RATE_AND_STEPS,
    Schedule,
    ScheduledOptimizer,
    check_fraction,
    check_positive,
    follow,
)
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class Cyclical(Schedule):
    """The rate up and down between two values, the range halved in each cycle.

    Smith, "Cyclical Learning Rates for Training Neural Networks", 2017: the policy
    "triangular2". The recipe's rate is the upper one.
    """

    min_fraction: float = 0.25
    """The lower rate as a fraction of the upper one, which is the recipe's."""
    cycles: float = 6.0
    """Cycles in the run; each halves the distance of the upper rate to the lower."""

    source: ClassVar = "Smith 2017"
    requires: ClassVar = RATE_AND_STEPS

    def __post_init__(self):
        check_fraction("min_fraction", self.min_fraction)
        check_positive("cycles", self.cycles)

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """Triangles."""
        upper = recipe.learning_rate
        lower = self.min_fraction * upper
        cycle_steps = recipe.steps / self.cycles

        def rate(step: jax.typing.ArrayLike) -> jax.Array:
            cycles = jnp.asarray(step, jnp.float32) / cycle_steps
            number = jnp.floor(cycles)
            height = 1.0 - jnp.abs(2.0 * (cycles - number) - 1.0)
            return lower + (upper - lower) * height * 0.5**number

        return follow(rate, recipe)
