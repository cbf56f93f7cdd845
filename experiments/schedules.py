"""What drives the learning rate. One entry is one small function."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from autodrop_optax import autodrop, autodrop_metrics
from experiments.config import RunConfig
from experiments.errors import UserError
from experiments.workloads import Workload


class Schedule(NamedTuple):
    """An optimizer with its rate, and how to read that rate off."""

    # Holds one link of AutoDrop, so that the angular velocity is always recorded.
    optimizer: optax.GradientTransformationExtraArgs
    # (optimizer state, steps done, shape (), int32) -> rate of the next step, shape ().
    learning_rate: Callable[[optax.OptState, jax.Array], jax.Array]


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


SCHEDULES: dict[str, Callable[[RunConfig, Workload, int], Schedule]] = {
    "autodrop": dropped_by_autodrop,
    "multistep": multistep,
    "constant": constant,
}
