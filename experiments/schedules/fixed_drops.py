"""AutoDrop that looks at the clock in place of the angle."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from autodrop_optax import autodrop_restart
from experiments.schedules.autodrop import AutoDrop
from experiments.schedules.schedule import (
    RATE_AND_STEPS,
    ScheduledOptimizer,
    check_milestones,
)
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class FixedDrops(AutoDrop):
    """Drops after fixed fractions of the run, with AutoDrop's average."""

    max_angle: float | None = 180.0
    """No angle makes a drop."""
    milestones: tuple[float, ...] = ()
    """Fractions of the run after which to drop."""

    requires: ClassVar = replace(RATE_AND_STEPS, also="the milestones")

    def __post_init__(self):
        check_milestones(self.milestones)

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """Drops by hand, so that a phase begins as after AutoDrop's own drops."""
        scheduled = super().build(recipe)
        inner = optax.with_extra_args_support(scheduled.optimizer)
        times = jnp.asarray([round(x * recipe.steps) for x in self.milestones])

        def update(updates, state: Any, params=None, **extra) -> Any:
            updates, state = inner.update(updates, state, params, **extra)
            *others, link = state
            link = jax.lax.cond(
                jnp.isin(link.steps, times),
                lambda link: autodrop_restart(link, factor=self.drop_factor),
                lambda link: link,
                link,
            )
            return updates, (*others, link)

        return scheduled._replace(
            optimizer=optax.GradientTransformationExtraArgs(inner.init, update)
        )
