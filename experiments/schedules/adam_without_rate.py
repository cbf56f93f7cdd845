"""Adam at a rate that it estimates: prodigy and D-Adaptation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import optax

from experiments.schedules.schedule import Requirements, Schedule, ScheduledOptimizer
from experiments.task.recipe import Recipe


class _Estimating(Schedule):
    """An Adam of optax.contrib with the recipe's weight decay, of the recipe's kind."""

    requires: ClassVar = Requirements()
    make: ClassVar[Callable[..., optax.GradientTransformation]]

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The optimizer alone."""
        l2 = recipe.penalty
        adam = type(self).make(weight_decay=recipe.weight_decay - l2)
        return ScheduledOptimizer(
            optax.chain(optax.add_decayed_weights(l2), adam),
            lambda state, _: state[1].estim_lr,
        )


@dataclass(frozen=True)
class Prodigy(_Estimating):
    """Adam at an estimated rate (Mishchenko and Defazio 2023), constant factor 1."""

    source: ClassVar = "Mishchenko, Defazio 2023"
    copies: ClassVar = 4
    base_copies: ClassVar = 2
    make: ClassVar = staticmethod(optax.contrib.prodigy)


@dataclass(frozen=True)
class DAdaptAdamW(_Estimating):
    """Adam by D-Adaptation (Defazio and Mishchenko 2023), constant factor 1."""

    source: ClassVar = "Defazio, Mishchenko 2023"
    copies: ClassVar = 3
    base_copies: ClassVar = 2
    make: ClassVar = staticmethod(optax.contrib.dadapt_adamw)
