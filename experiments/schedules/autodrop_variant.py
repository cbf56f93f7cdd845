"""AutoDrop with parts of its rule taken out, to see what each is worth."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from autodrop_optax import AutoDropState
from experiments.schedules.autodrop import AutoDrop

# What a drop leaves of the average's age; aged is what the library does.
AgeAtDrop = Literal["aged", "restarted", "kept"]


@dataclass(frozen=True)
class AutoDropVariant(AutoDrop):
    """AutoDrop, with another average after a drop or without its guard."""

    average_at_drop: AgeAtDrop = "aged"
    """aged: to an eighth of its age; restarted: at the parameters; kept: as it is."""
    guard: bool = True
    """Whether the run must be twice as long as at the last drop for the next one."""

    def link(self) -> optax.GradientTransformationExtraArgs:
        """The library's link, whose state is changed after each step."""
        inner = super().link()

        def update(updates, state: Any, params=None, **extra) -> Any:
            before = state.num_drops
            updates, state = inner.update(updates, state, params, **extra)
            return updates, self._varied(state, state.num_drops > before)

        return optax.GradientTransformationExtraArgs(inner.init, update)

    def _varied(self, state: Any, dropped: jax.Array) -> AutoDropState:
        """The state after a step, with what this variant does otherwise."""
        factor = {"aged": 1.0, "restarted": 0.0, "kept": 8.0}[self.average_at_drop]
        state = state._replace(age=jnp.where(dropped, state.age * factor, state.age))
        if not self.guard:
            state = state._replace(last_drop_step=jnp.zeros_like(state.last_drop_step))
        return state
