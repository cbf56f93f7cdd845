"""The distance-based diagnostic: the iterates no longer get away from their start."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from autodrop_optax._once import once
from experiments.schedules._checks import check_count, check_number
from experiments.schedules._trees import require_params, scaled, squared_norm
from experiments.schedules.schedule import RATE, Schedule, ScheduledOptimizer, behind
from experiments.task.recipe import Recipe


class DistanceState(NamedTuple):
    """State of :func:`distance_diagnostic`."""

    scale: jax.Array  # shape (), float32: the rate over the first rate
    num_drops: jax.Array  # shape (), int32
    steps: jax.Array  # shape (), int32: n, since the last drop
    checkpoint: jax.Array  # shape (), int32: the checkpoints passed since
    log_distance: jax.Array  # shape (), float32: log |theta - theta_0|^2 at the last
    slope: jax.Array  # shape (), float32: S at the last checkpoint, NaN before
    anchor: Any  # like the parameters: theta_0, those at the last drop


def distance_diagnostic(
    *,
    ratio: float = 1.5,
    first_power: int = 5,
    threshold: float = 0.6,
    drop_factor: float = 0.5,
) -> optax.GradientTransformationExtraArgs:
    r"""Drops the rate when the distance from the start grows too slowly.

    Pesme, Dieuleveut, Flammarion, "On Convergence-Diagnostic based Step Sizes for
    Stochastic Gradient Descent", ICML 2020 (arXiv 2007.00534), the distance-based
    diagnostic of its section 5. With n counted since the last drop, :math:`\theta_0`
    the parameters then, and n at the checkpoints :math:`q^{k+1}`, :math:`k \ge k_0`:

    .. math::
      S = \frac{\log |\theta_n - \theta_0|^2 - \log |\theta_{n/q} - \theta_0|^2}
      {\log n - \log (n/q)}, \quad S < \text{threshold} \Rightarrow \text{drop},
      \ \theta_0 = \theta_n,\ n = 0.

    In the transient phase the squared distance grows like n squared at first and like
    n when noise drives it, at stationarity not at all: S falls from 2 over 1 to 0.

    What is the paper's: the statistic, geometric checkpoints, the comparison with a
    threshold between 0 and 1, the restart from the last drop. Not checked against its
    text: the values q = 1.5, k_0 = 5 and 0.6, and the drop factor (1/2 and 1/4 both
    occur; 1/2 is taken). What is a choice: checkpoints are rounded up to whole steps,
    logarithms are of the rounded ones, and the first slope is that between the
    checkpoints of :math:`k_0` and :math:`k_0 + 1`.

    Args:
      ratio: q, of one checkpoint to the one before, above 1.
      first_power: k_0, 0 or more.
      threshold: of S, above 0.
      drop_factor: what a drop multiplies the rate by, between 0 and 1.

    Returns:
      A link to chain behind an optimizer at a constant rate. It keeps one copy of the
      parameters.

    Raises:
      ValueError: an argument is out of its range.
    """
    check_number("ratio", ratio, low=1)
    check_count("first_power", first_power, least=0)
    check_number("threshold", threshold, low=0)
    check_number("drop_factor", drop_factor, low=0, high=1)
    checkpoints = jnp.asarray(_checkpoints(ratio, first_power), jnp.int32)
    logarithms = jnp.log(checkpoints.astype(jnp.float32))

    def init(params: optax.Params) -> DistanceState:
        return DistanceState(
            scale=jnp.float32(1),
            num_drops=jnp.int32(0),
            steps=jnp.int32(0),
            checkpoint=jnp.int32(0),
            log_distance=jnp.float32(jnp.nan),
            slope=jnp.float32(jnp.nan),
            anchor=jax.tree.map(jnp.copy, params),
        )

    def update(updates, state, params=None, **extra_args):
        del extra_args
        # theta_n: n steps have been taken from the anchor.
        params = require_params(params, "distance_diagnostic")
        here = state.steps == checkpoints[state.checkpoint]

        def measure():
            steps = jax.tree.map(
                lambda x, y: x.astype(jnp.float32) - y.astype(jnp.float32),
                params,
                state.anchor,
            )
            log_distance = jnp.log(squared_norm(steps))
            # NaN at the first checkpoint, as log_distance is.
            width = logarithms[state.checkpoint] - logarithms[state.checkpoint - 1]
            return log_distance, (log_distance - state.log_distance) / width

        log_distance, slope = jax.lax.cond(
            here, measure, lambda: (state.log_distance, state.slope)
        )
        drop = here & jnp.isfinite(slope) & (slope < threshold)
        state = DistanceState(
            scale=jnp.where(drop, state.scale * drop_factor, state.scale),
            num_drops=state.num_drops + drop,
            steps=jnp.where(drop, 0, state.steps) + 1,
            checkpoint=jnp.where(drop, 0, state.checkpoint + here),
            log_distance=jnp.where(drop, jnp.nan, log_distance),
            slope=slope,
            anchor=once(
                drop,
                lambda anchor: jax.tree.map(
                    lambda x, y: x.astype(y.dtype), params, anchor
                ),
                state.anchor,
            ),
        )
        return scaled(updates, state.scale), state

    return optax.GradientTransformationExtraArgs(init, update)


def _checkpoints(ratio: float, first_power: int) -> list[int]:
    """Returns the whole numbers ceil(ratio^k), k >= first_power, that fit in int32."""
    found: list[int] = []
    power = first_power
    while (value := ratio**power) < 2**31 - 1:
        step = math.ceil(value)
        # With a small ratio several powers round up to one step.
        if not found or step > found[-1]:
            found.append(step)
        power += 1
    if len(found) < 2:
        raise ValueError(
            f"first_power={first_power} with ratio={ratio} leaves no two checkpoints"
            " below 2**31 steps: take a smaller one."
        )
    return found


@dataclass(frozen=True)
class Distance(Schedule):
    """The rate halved where the parameters no longer get away (Pesme et al. 2020)."""

    source: ClassVar = "Pesme et al. 2020"
    requires: ClassVar = RATE
    copies: ClassVar = 2

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The link behind the recipe's optimizer."""
        return behind(distance_diagnostic(), recipe)
