"""The rate dropped where the validation loss no longer falls."""

from typing import Any, NamedTuple

import optax

from experiments.errors import UserError
from experiments.schedules.schedule import Params, Schedule, observed
from experiments.task.config import RunConfig
from experiments.task.recipe import Recipe


class PlateauState(NamedTuple):
    """The optimizer's state and that of `optax.contrib.reduce_on_plateau`."""

    optimizer: optax.OptState
    plateau: optax.contrib.ReduceLROnPlateauState


def plateau(config: RunConfig, recipe: Recipe) -> Schedule:
    """The recipe's rate, dropped where the validation loss no longer falls.

    Raises:
      UserError: the run has no validation set.
    """
    if not config.validation_fraction:
        raise UserError(
            "the schedule plateau looks at the validation loss: give a"
            " validation_fraction, as 0.1."
        )
    options = config.plateau
    factor = options.drop_factor
    if factor is None:
        factor = recipe.drop_factor
    base = observed(recipe.optimizer(recipe.learning_rate), recipe.learning_rate)
    reduce = optax.contrib.reduce_on_plateau(
        factor=factor,
        patience=options.patience,
        rtol=options.rtol,
        cooldown=options.cooldown,
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

    return Schedule(
        optimizer=optax.GradientTransformationExtraArgs(init, update),
        learning_rate=lambda state, _: recipe.learning_rate * state.plateau.scale,
        validated=validated,
    )
