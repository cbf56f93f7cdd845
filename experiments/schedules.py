"""What drives the learning rate. One entry is one small function."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from autodrop_optax import autodrop, autodrop_metrics, windowed_autodrop
from experiments.config import RunConfig
from experiments.errors import UserError
from experiments.workloads import Workload

# Windows in a run of the UAI paper on CIFAR: 70 to 105 drops, one every 12 to 14.
WINDOWS_PER_RUN = 1200


class Schedule(NamedTuple):
    """An optimizer with its rate, and how to read that rate off."""

    # Holds one link of AutoDrop that knows epochs, so that the angular velocity is
    # always recorded.
    optimizer: optax.GradientTransformationExtraArgs
    # (optimizer state, steps done, shape (), int32) -> rate of the next step, shape ().
    learning_rate: Callable[[optax.OptState, jax.Array], jax.Array]
    # What else to record at the end of an epoch, scalars by name.
    metrics: Callable[[optax.OptState], dict[str, jax.Array]] = autodrop_metrics


def dropped_by_autodrop(
    config: RunConfig, workload: Workload, steps_per_epoch: int
) -> Schedule:
    """The recipe's rate, dropped where the angular velocity saturates."""
    del steps_per_epoch
    rate = workload.learning_rate
    try:
        link = autodrop(rate, **dataclasses.asdict(config.autodrop))
    except ValueError as error:  # an option out of its range
        raise UserError(str(error)) from None
    # The link is last: it scales the whole update, as setting the rate by hand does.
    return Schedule(
        optimizer=optax.chain(workload.optimizer(rate), link),
        learning_rate=lambda opt_state, _: autodrop_metrics(opt_state)["learning_rate"],
    )


def dropped_by_windows(
    config: RunConfig, workload: Workload, steps_per_epoch: int
) -> Schedule:
    """The recipe's rate, in many small drops, as windows of steps decide."""
    rate, options = workload.learning_rate, config.windowed_autodrop
    window_steps = resolved(options.window_steps, config.epochs * steps_per_epoch)
    options = dataclasses.replace(options, window_steps=window_steps)
    try:
        link = windowed_autodrop(rate, **dataclasses.asdict(options))
    except ValueError as error:  # an option out of its range
        raise UserError(str(error)) from None

    def metrics(opt_state):
        (_, windows), _ = opt_state
        found = autodrop_metrics(windows)
        names = "num_drops", "window", "windows_since_drop"
        # The angles are those of epochs, as in all other runs.
        return autodrop_metrics(opt_state[1]) | {name: found[name] for name in names}

    return Schedule(
        optimizer=observed(optax.chain(workload.optimizer(rate), link), rate),
        learning_rate=lambda state, _: autodrop_metrics(state[0])["learning_rate"],
        metrics=metrics,
    )


def matched_exponential(
    config: RunConfig, workload: Workload, steps_per_epoch: int
) -> Schedule:
    """The recipe's rate, in many small drops evenly spaced: windows without a look."""
    options = config.matched_exponential
    steps = config.epochs * steps_per_epoch
    if options.num_drops is not None:
        every = steps / (options.num_drops + 1)
    else:
        every = options.windows_per_drop * resolved(options.window_steps, steps)

    def rate(step: jax.typing.ArrayLike) -> jax.Array:
        drops = jnp.floor(jnp.asarray(step, jnp.float32) / every)
        return workload.learning_rate * jnp.float32(options.drop_factor) ** drops

    return Schedule(
        optimizer=observed(workload.optimizer(rate), workload.learning_rate),
        learning_rate=lambda _, step: rate(step),
    )


def linear_decay(
    config: RunConfig, workload: Workload, steps_per_epoch: int
) -> Schedule:
    """The recipe's rate, linearly to zero over the run."""
    steps = config.epochs * steps_per_epoch
    rate = optax.linear_schedule(workload.learning_rate, 0.0, steps)
    return Schedule(
        optimizer=observed(workload.optimizer(rate), workload.learning_rate),
        learning_rate=lambda _, step: jnp.asarray(rate(step)),
    )


def multistep(config: RunConfig, workload: Workload, steps_per_epoch: int) -> Schedule:
    """The recipe's rate, dropped after fixed fractions of the run."""
    options = config.multistep
    scales: dict[int, float] = {}
    for fraction in options.milestones:
        step = round(fraction * config.epochs) * steps_per_epoch
        # In a very short run two milestones may fall on one epoch: then both count.
        scales[step] = scales.get(step, 1.0) * options.drop_factor
    rate = optax.piecewise_constant_schedule(workload.learning_rate, scales)
    return Schedule(
        optimizer=observed(workload.optimizer(rate), workload.learning_rate),
        learning_rate=lambda _, step: jnp.asarray(rate(step)),
    )


def constant(config: RunConfig, workload: Workload, steps_per_epoch: int) -> Schedule:
    """The recipe's rate throughout."""
    del config, steps_per_epoch
    rate = workload.learning_rate
    return Schedule(
        optimizer=observed(workload.optimizer(rate), rate),
        learning_rate=lambda _, __: jnp.float32(rate),
    )


def observed(
    optimizer: optax.GradientTransformation, learning_rate: float
) -> optax.GradientTransformationExtraArgs:
    """An optimizer whose angular velocity is recorded and whose course is its own."""
    return optax.chain(
        optimizer, autodrop(learning_rate, threshold=0.0, averaging=False)
    )


def resolved(window_steps: int | None, steps: int) -> int:
    """Returns the steps per window; by default as many windows as in the paper."""
    return (
        max(1, round(steps / WINDOWS_PER_RUN)) if window_steps is None else window_steps
    )


SCHEDULES: dict[str, Callable[[RunConfig, Workload, int], Schedule]] = {
    "autodrop": dropped_by_autodrop,
    "windowed_autodrop": dropped_by_windows,
    "matched_exponential": matched_exponential,
    "linear_decay": linear_decay,
    "multistep": multistep,
    "constant": constant,
}
