"""A schedule: a rule for the learning rate, its options, and what it asks for."""

import abc
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self, cast

import jax
import jax.numpy as jnp
import optax

from autodrop_optax import (
    EpochAutoDropState,
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
)
from experiments.errors import UserError
from experiments.task.recipe import Recipe

Params = Any  # tree of arrays


class ScheduledOptimizer(NamedTuple):
    """An optimizer with its rate, and how to read that rate off."""

    # It is given the parameters and, as `value`, each step's loss.
    optimizer: optax.GradientTransformation
    # (optimizer state, steps done, shape (), int32) -> rate of the next step, shape ().
    learning_rate: Callable[[Any, jax.Array], jax.Array]
    # What else to record at the end of an epoch, scalars by name.
    metrics: Callable[[Any], dict[str, jax.Array]] = lambda state: {}
    # (parameters, optimizer state) -> the same after the end of an epoch. None: no
    # AutoDrop of epochs is in the state; it observes from apart.
    end_epoch: Callable[[Params, Any], tuple[Params, Any]] | None = None
    # (optimizer state, parameters) -> the parameters that a person would use. None:
    # those that are trained.
    eval_params: Callable[[Any, Params], Params] | None = None
    # (optimizer state, validation loss, shape ()) -> optimizer state, after each epoch.
    validated: Callable[[Any, jax.Array], Any] | None = None


@dataclass(frozen=True)
class Requirements:
    """What a schedule's defaults do not give, beside the loss, the model and the data.

    Attributes:
      rate: a learning rate that suits the task.
      total_steps: how long the run will be.
      validation: a metric on data that is not trained on.
      first_run: a run of the same task before this one.
      epoch_length: steps per epoch, or when an epoch ends.
      also: anything else, in words.
    """

    rate: bool = False
    total_steps: bool = False
    validation: bool = False
    first_run: bool = False
    epoch_length: bool = False
    also: str = ""

    def __str__(self) -> str:
        told = {
            "a rate": self.rate,
            "total steps": self.total_steps,
            "a validation metric": self.validation,
            "a first run": self.first_run,
            "the epoch length": self.epoch_length,
            self.also: bool(self.also),
        }
        return "; ".join(name for name, told in told.items() if told) or "nothing"

    @property
    def level(self) -> str:
        """The key of LEVELS that says what is required."""
        counted = ("rate", "validation", "total_steps", "first_run")
        required = tuple(name for name in counted if getattr(self, name))
        return {names: level for level, names in LEVELS.items()}[required]


# From nothing on; the epoch's length and what stands in `also` are no guesses about the
# task, and are not counted.
LEVELS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "a rate": ("rate",),
    "a rate, a validation set": ("rate", "validation"),
    "a rate, the total steps": ("rate", "total_steps"),
    "a rate, the total steps, a first run": ("rate", "total_steps", "first_run"),
}
RATE = Requirements(rate=True)
RATE_AND_STEPS = Requirements(rate=True, total_steps=True)


@dataclass(frozen=True)
class Schedule(abc.ABC):
    """A rule for the learning rate; its options are the fields of a subclass.

    An option that is None and that the recipe has too is the recipe's.
    """

    source: ClassVar[str] = ""  # authors and year
    requires: ClassVar[Requirements] = RATE
    # Of the parameters, float32, in the state of the whole optimizer; and in that of
    # the optimizer which it is set beside, SGD with momentum or AdamW.
    copies: ClassVar[int] = 1
    base_copies: ClassVar[int] = 1

    @abc.abstractmethod
    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """Makes the optimizer of a run; options are filled in.

        Raises:
          ValueError: an option is out of its range.
        """

    def filled(self, recipe: Recipe) -> Self:
        """Returns the schedule with the recipe's values in place of None."""
        empty = {
            field.name: getattr(recipe, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) is None and hasattr(recipe, field.name)
        }
        return dataclasses.replace(self, **empty)


def check_fraction(name: str, value: float) -> None:
    """Raises a UserError unless a value is from 0 to 1."""
    if not 0 <= value <= 1:
        raise UserError(f"{name} must be from 0 to 1, got {value}.")


def check_milestones(milestones: tuple[float, ...]) -> None:
    """Raises a UserError unless all are fractions of the run."""
    for value in milestones:
        if not 0 <= value <= 1:
            raise UserError(
                f"milestones must be from 0 to 1, as fractions of the run, got {value}:"
                " divide epochs by those of the run."
            )


def check_positive(name: str, value: float) -> None:
    """Raises a UserError unless a value is above 0."""
    if not value > 0:
        raise UserError(f"{name} must be above 0, got {value}.")


def observed(
    optimizer: optax.GradientTransformation, recipe: Recipe
) -> optax.GradientTransformation:
    """An optimizer whose angular velocity is recorded and whose course is its own."""
    return optax.chain(optimizer, observer(recipe))


def observer(recipe: Recipe) -> optax.GradientTransformation:
    """AutoDrop of epochs that only measures."""
    return epoch_autodrop(
        recipe.learning_rate, threshold=0.0, averaging=False, min_learning_rate=0.0
    )


def follow(rate: optax.Schedule, recipe: Recipe) -> ScheduledOptimizer:
    """The recipe's optimizer with a rate that is a function of the step."""
    return ScheduledOptimizer(
        optimizer=observed(recipe.optimizer(rate), recipe),
        learning_rate=lambda _, step: jnp.asarray(rate(step), jnp.float32),
        metrics=autodrop_metrics,
        end_epoch=end_epoch,
    )


def behind(link: optax.GradientTransformation, recipe: Recipe) -> ScheduledOptimizer:
    """The recipe's optimizer with a link behind it that scales its updates.

    Args:
      link: its state has a ``scale`` and a ``num_drops``.
      recipe: of the run.
    """
    rate = recipe.learning_rate
    return ScheduledOptimizer(
        optimizer=optax.chain(recipe.optimizer(rate), link),
        learning_rate=lambda state, _: rate * state[1].scale,
        metrics=lambda state: {"num_drops": state[1].num_drops},
    )


class ApartState(NamedTuple):
    """An optimizer's state and, apart from it, that of AutoDrop of epochs."""

    optimizer: Any
    observer: EpochAutoDropState


def observed_apart(scheduled: ScheduledOptimizer, recipe: Recipe) -> ScheduledOptimizer:
    """Has the angular velocity recorded where no link does so.

    Args:
      scheduled: any: its updates may be jumps to a point, which must not be scaled.
        What ends its own epochs is returned as it is.
      recipe: of the run.

    Returns:
      One whose state is an :class:`ApartState`. It shares no array with the parameters
      or with itself, as several of optax.contrib do: both are donated.
    """
    if scheduled.end_epoch is not None:
        return scheduled
    optimizer = optax.with_extra_args_support(scheduled.optimizer)
    watcher = observer(recipe)

    def init(params: Params) -> Any:
        watching: Any = watcher.init(params)
        inner = jax.tree.map(jnp.copy, optimizer.init(params))
        return ApartState(inner, watching)

    def update(updates, state: Any, params: Params | None = None, **extra):
        updates, inner = optimizer.update(updates, state.optimizer, params, **extra)
        return updates, state._replace(optimizer=inner)

    def ends(params, state):
        params, observer_state = end_epoch(params, state.observer)
        return params, state._replace(observer=observer_state)

    def inside(function: Callable) -> Callable:
        return lambda state, argument: function(state.optimizer, argument)

    def validated(state, loss):
        after = cast(Callable, scheduled.validated)(state.optimizer, loss)
        return state._replace(optimizer=after)

    return ScheduledOptimizer(
        optimizer=optax.GradientTransformationExtraArgs(init, update),
        learning_rate=inside(scheduled.learning_rate),
        metrics=lambda state: (
            autodrop_metrics(state.observer) | scheduled.metrics(state.optimizer)
        ),
        end_epoch=ends,
        eval_params=scheduled.eval_params and inside(scheduled.eval_params),
        validated=scheduled.validated and validated,
    )
