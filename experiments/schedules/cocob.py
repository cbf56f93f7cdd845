"""Coin betting."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from experiments.schedules.schedule import Requirements, Schedule, ScheduledOptimizer
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class Cocob(Schedule):
    """Coin betting (Orabona and Tommasi 2017); its rate is a mean over parameters.

    It is what a parameter moves per unit of its summed gradients, and has no meaning
    before the first step.
    """

    source: ClassVar = "Orabona, Tommasi 2017"
    requires: ClassVar = Requirements()
    copies: ClassVar = 5

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The optimizer alone."""
        alpha = 100.0  # the default, which the state does not have

        def rate(state, step):
            del step
            state = state[2]

            def summed(scale, subgradients, reward):
                fraction = scale * jnp.maximum(subgradients + scale, alpha * scale)
                return jnp.sum((scale + reward) / fraction)

            sums = jax.tree.map(summed, state.scale, state.subgradients, state.reward)
            number = sum(x.size for x in jax.tree.leaves(state.scale))
            return jax.tree.reduce(jnp.add, sums) / number

        optimizer = optax.contrib.cocob(alpha=alpha, weight_decay=recipe.penalty)
        return ScheduledOptimizer(optimizer, rate)
