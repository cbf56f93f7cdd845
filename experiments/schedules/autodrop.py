"""AutoDrop, the library's default: it needs nothing."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import optax

from autodrop_optax import autodrop, autodrop_eval_params, autodrop_metrics
from experiments.schedules.schedule import RATE, Schedule, ScheduledOptimizer
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class AutoDrop(Schedule):
    """The recipe's rate, dropped where the average of the parameters walks at random.

    Arguments of `autodrop_optax.autodrop`; evaluated is the average.
    """

    drop_factor: float = 0.5
    """What a drop multiplies the rate by."""
    min_scale: float = 0.0
    """Drops take the rate no lower than this fraction of the first."""
    max_angle: float | None = None
    """Degrees: at or above it there is no headway; None: a random walk's."""
    patience: int = 2
    """Checks in a row at or above the angle that make a drop."""
    power: float = 8.0
    """Of its age, that a value of the parameters weighs in the average."""
    ratio: float = 1.25
    """Of the times of one check and the next."""
    first_check: int = 64
    """Steps from a drop, or the start, to the first check."""

    requires: ClassVar = RATE
    copies: ClassVar = 4

    def link(self) -> optax.GradientTransformationExtraArgs:
        """The library's, with these options."""
        names = [field.name for field in dataclasses.fields(AutoDrop)]
        return autodrop(**{name: getattr(self, name) for name in names})

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The link behind the recipe's optimizer."""
        rate = recipe.learning_rate

        def metrics(opt_state):
            found = autodrop_metrics(opt_state)
            names = "num_drops", "angle", "max_angle", "steps_since_drop", "at_floor"
            return {name: found[name] for name in names}

        return ScheduledOptimizer(
            optimizer=optax.chain(recipe.optimizer(rate), self.link()),
            learning_rate=lambda state, _: rate * autodrop_metrics(state)["scale"],
            metrics=metrics,
            eval_params=autodrop_eval_params,
        )
