"""The rate dropped where the validation loss no longer falls."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import optax

from autodrop_optax import autodrop_metrics, end_epoch
from experiments.schedules.schedule import (
    Params,
    Requirements,
    Schedule,
    ScheduledOptimizer,
    check_fraction,
    check_positive,
    observed,
)
from experiments.task.recipe import Recipe


class PlateauState(NamedTuple):
    """The optimizer's state and that of `optax.contrib.reduce_on_plateau`."""

    optimizer: optax.OptState
    plateau: optax.contrib.ReduceLROnPlateauState


@dataclass(frozen=True)
class Plateau(Schedule):
    """The recipe's rate, dropped where the validation loss no longer falls.

    `optax.contrib.reduce_on_plateau` on the validation loss of each epoch.
    """

    drop_factor: float | None = None
    """What a drop multiplies the rate by; None: the workload's recipe."""
    patience: int = 5
    """Epochs without improvement before a drop."""
    rtol: float = 1e-4
    """Relative decrease of the loss that counts as improvement."""
    cooldown: int = 0
    """Epochs after a drop that do not count."""

    requires: ClassVar = Requirements(rate=True, validation=True)

    def __post_init__(self):
        if self.drop_factor is not None:
            check_fraction("drop_factor", self.drop_factor)
        check_positive("patience", self.patience)

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """Scales the updates; an epoch's loss changes the scale."""
        link = observed(recipe.optimizer(recipe.learning_rate), recipe)
        base = optax.with_extra_args_support(link)
        reduce = optax.contrib.reduce_on_plateau(
            factor=cast(float, self.drop_factor),
            patience=self.patience,
            rtol=self.rtol,
            cooldown=self.cooldown,
        )

        def init(params: Params) -> Any:
            whole: Any = reduce.init(params)
            return PlateauState(base.init(params), whole)

        def update(updates, state: Any, params: Params | None = None, **extra):
            updates, inner = base.update(updates, state.optimizer, params, **extra)
            updates = optax.tree.scale(state.plateau.scale, updates)
            return updates, state._replace(optimizer=inner)

        def validated(state, loss):
            # An epoch is its step: it has no updates of its own to scale.
            _, after = reduce.update({}, state.plateau, value=loss)
            return state._replace(plateau=after)

        return ScheduledOptimizer(
            optimizer=optax.GradientTransformationExtraArgs(init, update),
            learning_rate=lambda state, _: recipe.learning_rate * state.plateau.scale,
            metrics=autodrop_metrics,
            end_epoch=end_epoch,
            validated=validated,
        )
