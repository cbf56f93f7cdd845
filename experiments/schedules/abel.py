"""ABEL: the rate decays when the norm of the weights bounces."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from experiments.schedules._checks import check_count, check_number
from experiments.schedules._trees import require_params, scaled, squared_norm
from experiments.schedules.schedule import (
    Requirements,
    Schedule,
    ScheduledOptimizer,
    behind,
    check_fraction,
)
from experiments.task.recipe import Recipe


class AbelState(NamedTuple):
    """State of :func:`abel`: scalars alone."""

    scale: jax.Array  # shape (), float32: the rate over the first rate
    num_drops: jax.Array  # shape (), int32
    steps: jax.Array  # shape (), int32: since the start
    weight_norm: jax.Array  # shape (), float32: |w_{t-1}|^2, NaN before the first
    earlier_weight_norm: jax.Array  # shape (), float32: |w_{t-2}|^2
    reached_minimum: jax.Array  # shape (), bool


def abel(
    steps_per_epoch: int,
    *,
    last_decay_epoch: int | None,
    decay_factor: float = 0.1,
) -> optax.GradientTransformationExtraArgs:
    r"""Decays the rate after the weight norm has bounced, and once near the end.

    Lewkowycz, "How to decay your learning rate", 2021 (arXiv 2103.12682), Algorithm 1,
    "Automatic, Bouncing into Equilibration Learning rate scheduler". With
    :math:`|w_t|^2` the squared norm of all weights at the end of epoch t:

    .. math::
      (|w_t|^2 - |w_{t-1}|^2)(|w_{t-1}|^2 - |w_{t-2}|^2) < 0

    is a change of direction. At the first one the norm has reached its minimum: that
    is noted. At the next one, when the norm that has risen again turns, the rate
    decays and the note is cleared. At the end of ``last_decay_epoch`` the rate decays
    in any case.

    What is the paper's: the condition and the note (two independent reimplementations
    agree in both) and a last decay. Not checked against its text: the epoch of the last
    decay, which is at 85 % of the run, and the factor, which is that of the step-wise
    schedule that a task otherwise has (0.1 on ImageNet). What is a choice: the norm is
    over all parameters, the sequence starts with the end of the first epoch, and where
    both reasons fall on one epoch both count.

    Args:
      steps_per_epoch: optimizer steps per epoch, 1 or more.
      last_decay_epoch: the epoch at whose end the rate decays in any case, 1 or more;
        None: never.
      decay_factor: what a decay multiplies the rate by, between 0 and 1.

    Returns:
      A link to chain behind an optimizer at a constant rate. It keeps scalars alone,
      and reads the parameters once per epoch.

    Raises:
      ValueError: an argument is out of its range.
    """
    check_count("steps_per_epoch", steps_per_epoch)
    if last_decay_epoch is not None:
        check_count("last_decay_epoch", last_decay_epoch)
    check_number("decay_factor", decay_factor, low=0, high=1)
    # No number of steps is -1.
    last = -1 if last_decay_epoch is None else last_decay_epoch * steps_per_epoch

    def init(params: optax.Params) -> AbelState:
        del params
        return AbelState(
            scale=jnp.float32(1),
            num_drops=jnp.int32(0),
            steps=jnp.int32(0),
            weight_norm=jnp.float32(jnp.nan),
            earlier_weight_norm=jnp.float32(jnp.nan),
            reached_minimum=jnp.bool_(False),
        )

    def update(updates, state, params=None, **extra_args):
        del extra_args
        # As many steps have been taken: at a multiple these are an epoch's last.
        params = require_params(params, "abel")
        epoch_end = (state.steps > 0) & (state.steps % steps_per_epoch == 0)
        weight_norm, earlier = jax.lax.cond(
            epoch_end,
            lambda: (squared_norm(params), state.weight_norm),
            lambda: (state.weight_norm, state.earlier_weight_norm),
        )
        # False as long as one of the norms is NaN.
        turned = (weight_norm - earlier) * (earlier - state.earlier_weight_norm) < 0
        turned &= epoch_end
        bounced = turned & state.reached_minimum
        at_last = state.steps == last
        scale = state.scale
        for decays in bounced, at_last:
            scale = jnp.where(decays, scale * decay_factor, scale)
        state = AbelState(
            scale=scale,
            num_drops=state.num_drops + bounced + at_last,
            steps=state.steps + 1,
            weight_norm=weight_norm,
            earlier_weight_norm=earlier,
            reached_minimum=state.reached_minimum ^ turned,
        )
        return scaled(updates, state.scale), state

    return optax.GradientTransformationExtraArgs(init, update)


@dataclass(frozen=True)
class Abel(Schedule):
    """The rate dropped after the weights' norm bounced (Lewkowycz 2021)."""

    drop_factor: float | None = None
    """What a decay multiplies the rate by; None: the workload's recipe."""
    last_decay: float = 0.85
    """Fraction of the run after which the rate decays in any case."""

    source: ClassVar = "Lewkowycz 2021"
    requires: ClassVar = Requirements(rate=True, total_steps=True, epoch_length=True)

    def __post_init__(self):
        check_fraction("last_decay", self.last_decay)

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The link behind the recipe's optimizer."""
        link = abel(
            recipe.steps_per_epoch,
            last_decay_epoch=max(1, round(self.last_decay * recipe.epochs)),
            decay_factor=cast(float, self.drop_factor),
        )
        return behind(link, recipe)
