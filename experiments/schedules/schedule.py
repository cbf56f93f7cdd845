"""What a schedule is, and how the angular velocity is recorded beside it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from autodrop_optax import (
    EpochAutoDropState,
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
)
from experiments.task.recipe import Recipe

Params = Any  # tree of arrays


def unmoved(opt_state: optax.OptState, validation_loss: jax.Array) -> optax.OptState:
    """The state as it is."""
    del validation_loss
    return opt_state


def trained(opt_state: optax.OptState, params: Params) -> Params:
    """The parameters as they are."""
    del opt_state
    return params


class Schedule(NamedTuple):
    """An optimizer with its rate, and how to read that rate off."""

    # Its state holds one state of AutoDrop that knows epochs, so that the angular
    # velocity is always recorded. It is given each step's loss as `value`.
    optimizer: optax.GradientTransformationExtraArgs
    # (optimizer state, steps done, shape (), int32) -> rate of the next step, shape ().
    learning_rate: Callable[[optax.OptState, jax.Array], jax.Array]
    # What else to record at the end of an epoch, scalars by name.
    metrics: Callable[[optax.OptState], dict[str, jax.Array]] = autodrop_metrics
    # (parameters, optimizer state) -> the same after the end of an epoch.
    end_epoch: Callable[[Params, optax.OptState], tuple[Params, optax.OptState]] = (
        end_epoch
    )
    # (optimizer state, parameters trained) -> parameters to evaluate.
    evaluation_params: Callable[[optax.OptState, Params], Params] = trained
    # (optimizer state, validation loss, shape ()) -> optimizer state, after each epoch
    # where examples are held out.
    validated: Callable[[optax.OptState, jax.Array], optax.OptState] = unmoved


def observed(
    optimizer: optax.GradientTransformation, learning_rate: float
) -> optax.GradientTransformationExtraArgs:
    """An optimizer whose angular velocity is recorded and whose course is its own."""
    return optax.chain(
        optimizer, epoch_autodrop(learning_rate, threshold=0.0, averaging=False)
    )


def follow(rate: optax.Schedule, recipe: Recipe) -> Schedule:
    """The recipe's optimizer with a rate that is a function of the step."""
    return Schedule(
        optimizer=observed(recipe.optimizer(rate), recipe.learning_rate),
        learning_rate=lambda _, step: jnp.asarray(rate(step), jnp.float32),
    )


class ApartState(NamedTuple):
    """An optimizer's state and, apart from it, AutoDrop's."""

    optimizer: optax.OptState
    observer: EpochAutoDropState


def observe_apart(
    optimizer: optax.GradientTransformation,
    learning_rate: Callable[[optax.OptState, jax.Array], jax.Array],
    recipe: Recipe,
    evaluation_params: Callable[[optax.OptState, Params], Params] = trained,
) -> Schedule:
    """A schedule whose optimizer must not be scaled, so that no link may stand in it.

    Args:
      optimizer: any; its updates may be jumps to a point.
      learning_rate: as a schedule's, but given the optimizer's own state.
      recipe: of the run.
      evaluation_params: as a schedule's, but given the optimizer's own state.

    Returns:
      The schedule. Optimizer and observer see the same parameters.
    """
    optimizer = optax.with_extra_args_support(optimizer)
    observer = epoch_autodrop(recipe.learning_rate, threshold=0.0, averaging=False)

    def init(params: Params) -> Any:
        watching: Any = observer.init(params)
        return ApartState(optimizer.init(params), watching)

    def update(updates, state: Any, params: Params | None = None, **extra):
        updates, inner = optimizer.update(updates, state.optimizer, params, **extra)
        return updates, state._replace(optimizer=inner)

    def ends(params, state):
        params, observer_state = end_epoch(params, state.observer)
        return params, state._replace(observer=observer_state)

    return Schedule(
        optimizer=optax.GradientTransformationExtraArgs(init, update),
        learning_rate=lambda state, step: learning_rate(state.optimizer, step),
        metrics=lambda state: autodrop_metrics(state.observer),
        end_epoch=ends,
        evaluation_params=lambda state, p: evaluation_params(state.optimizer, p),
    )
