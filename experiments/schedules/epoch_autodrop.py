"""AutoDrop of epochs, as it was published: Algorithm 1 of Teng et al. 2021."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

import optax

from autodrop_optax import autodrop_metrics, end_epoch, epoch_autodrop
from experiments.schedules.schedule import (
    Requirements,
    Schedule,
    ScheduledOptimizer,
)
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class EpochAutoDrop(Schedule):
    """The recipe's rate, dropped where the angular velocity of epochs saturates.

    Arguments of `autodrop_optax.epoch_autodrop`; the defaults are the paper's.
    """

    drop_factor: float | None = None
    """What a drop multiplies the rate by; None: the workload's recipe."""
    min_learning_rate: float = 1e-4
    """Drops take the rate no lower."""
    threshold: float = 0.01
    """Degrees per epoch: smaller changes of the angular velocity are saturation."""
    max_threshold: float = 1.0
    """Degrees per epoch: a drop divides the threshold by drop_factor, up to this."""
    drop_delay: int = 20
    """Epochs from the trigger to the drop."""
    averaging: bool = True
    """At a drop, replace the parameters by their average over the delay."""
    window: int = 1
    """Epochs over which the change of the angular velocity is averaged."""
    retrigger: Literal["ignore", "restart"] = "ignore"
    """What saturation during the delay does."""
    anchor: Literal["after_averaging", "before_averaging"] = "after_averaging"
    """From where the step after an averaging is measured."""

    source: ClassVar = "Teng et al. 2021"
    requires: ClassVar = Requirements(rate=True, epoch_length=True)
    copies: ClassVar = 4

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The link behind the recipe's optimizer."""
        return self.times(None, recipe)

    def times(
        self, factor: optax.Schedule | None, recipe: Recipe
    ) -> ScheduledOptimizer:
        """As build; a function of the step, if one is given, multiplies the rate."""
        rate = recipe.learning_rate
        link = epoch_autodrop(rate, **dataclasses.asdict(self))
        # The link is last: it scales the whole update, as a rate set by hand does.
        base = recipe.optimizer(rate if factor is None else lambda i: rate * factor(i))

        def learning_rate(opt_state, step):
            alpha = autodrop_metrics(opt_state)["learning_rate"]
            return alpha if factor is None else alpha * factor(step)

        return ScheduledOptimizer(
            optimizer=optax.chain(base, link),
            learning_rate=learning_rate,
            metrics=autodrop_metrics,
            end_epoch=end_epoch,
        )
