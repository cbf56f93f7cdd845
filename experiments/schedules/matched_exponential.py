"""Exponential decay in steps: windowed AutoDrop if it did not look."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp

from experiments.errors import UserError
from experiments.run.metrics import read_metrics
from experiments.schedules.schedule import (
    RATE_AND_STEPS,
    Schedule,
    ScheduledOptimizer,
    check_fraction,
    follow,
)
from experiments.schedules.windowed_autodrop import scaled_window
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class MatchedExponential(Schedule):
    """The recipe's rate, in many small drops evenly spaced: windows without a look."""

    drop_factor: float = 0.95
    """What a drop multiplies the rate by."""
    num_drops: int | None = None
    """Spread evenly over the run; None: one every `windows_per_drop` windows."""
    first_run: str | None = None
    """Folder of a finished run: as many drops as that one had."""
    windows_per_drop: int = 13
    """Windows between drops, without `num_drops`."""
    window_steps: int | None = None
    """Steps per window; None: a 1200th of the run's steps."""

    requires: ClassVar = RATE_AND_STEPS

    def __post_init__(self):
        check_fraction("drop_factor", self.drop_factor)
        if self.num_drops is not None and self.num_drops < 0:
            raise UserError(f"num_drops must be 0 or more, got {self.num_drops}.")
        for name in ("windows_per_drop", "window_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, got {value}.")

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """A staircase of the steps."""
        num_drops = self.num_drops
        if self.first_run is not None:
            num_drops = int(read_metrics(Path(self.first_run))[-1]["num_drops"])
        if num_drops is not None:
            every = recipe.steps / (num_drops + 1)
        else:
            window_steps = self.window_steps or scaled_window(recipe.steps)
            every = self.windows_per_drop * window_steps

        def rate(step: jax.typing.ArrayLike) -> jax.Array:
            drops = jnp.floor(jnp.asarray(step, jnp.float32) / every)
            return recipe.learning_rate * jnp.float32(self.drop_factor) ** drops

        return follow(rate, recipe)
