"""AutoDrop over windows of iterations (Wang, Teng, Choromanska, 2024).

Windows of k iterations are i = 1, 2, ...; angles are in degrees. At the end of window
i, with B a buffer of at most m angles:

    y_i = the mean of the parameters over the window
    s_i = y_i - y_{i-1}
    w_i = angle(s_i, s_{i-1})                         from the third window on
    append w_i to B
    if |B| = m:
        C_i = smooth(B)
        if C_i - C_{i-1} < theta:                     C_{i-1} of the same phase
            alpha = max(alpha_min, rho alpha)
            B = {}                                    a new phase begins
        remove the oldest of B

:func:`finish_window` is these lines. The printed algorithm has defects; the table in
``docs/windowed.md`` sets out what was chosen in their place, and why.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from autodrop_optax._angle import measure_turn
from autodrop_optax._once import once
from autodrop_optax._placement import on_mesh_of, scalars_on_mesh_of
from autodrop_optax._trees import (
    check_measurable,
    inexact_leaves,
    replace_inexact,
    step_between,
    wide_zeros,
    widen,
)
from autodrop_optax._windowed_settings import (
    WindowedAutoDropHyperparams,
    WindowedSettings,
)


class WindowedAutoDropState(NamedTuple):
    """State of windowed AutoDrop. Its structure, shapes and dtypes never change.

    The three trees have the parameters' structure and shapes, in their dtypes but
    float32 at least; leaves that are not floating point or complex are only kept to
    fill their place.
    """

    step: jax.Array  # shape (), int32: steps into the window
    num_samples: jax.Array  # shape (), int32: parameters in the running mean
    windows: jax.Array  # shape (), int32: windows finished [i]
    rate_scale: jax.Array  # shape (), float32 [alpha / alpha_0]
    angle: jax.Array  # shape (), float32, degrees: of the last window [w_i]
    angles: jax.Array  # shape (buffer_size,), float32, degrees, the newest last,
    #                    NaN where none is yet [B]
    smoothed_angle: jax.Array  # shape (), float32, degrees; NaN: none yet [C_i]
    smoothed_change: jax.Array  # shape (), float32, degrees [C_i - C_{i-1}]
    num_drops: jax.Array  # shape (), int32
    last_drop_window: jax.Array  # shape (), int32: 0 before the first
    step_norm: jax.Array  # shape (), float32 [|s_i|]
    num_means: jax.Array  # shape (), int32: finite means of windows so far
    running_mean: optax.Params
    previous_mean: optax.Params  # [y_{i-1}]
    previous_step: optax.Params  # [s_{i-1}]
    hyperparams: WindowedAutoDropHyperparams


def init_state(
    settings: WindowedSettings, params: optax.Params
) -> WindowedAutoDropState:
    """Returns the state before the first step.

    Args:
      settings: the hyperparameters.
      params: the parameters; their leaves' sharding is inherited. Where they are
        ``jax.ShapeDtypeStruct``, so are the leaves of the state.

    Raises:
      ValueError: ``params`` has leaves, but none of floating point or complex dtype;
        or it is ``optax.LookaheadParams``.
    """
    check_measurable(params)
    if any(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(params)):
        return jax.eval_shape(functools.partial(init_state, settings), params)

    def nan() -> jax.Array:  # a buffer for each, so that all can be donated
        return jnp.full((), jnp.nan, jnp.float32)

    state = WindowedAutoDropState(
        step=jnp.zeros((), jnp.int32),
        num_samples=jnp.zeros((), jnp.int32),
        windows=jnp.zeros((), jnp.int32),
        rate_scale=jnp.ones((), jnp.float32),
        angle=nan(),
        angles=jnp.full((settings.buffer_size,), jnp.nan, jnp.float32),
        smoothed_angle=nan(),
        smoothed_change=nan(),
        num_drops=jnp.zeros((), jnp.int32),
        last_drop_window=jnp.zeros((), jnp.int32),
        step_norm=jnp.zeros((), jnp.float32),
        num_means=jnp.zeros((), jnp.int32),
        running_mean=jax.tree.map(wide_zeros, params),
        previous_mean=jax.tree.map(wide_zeros, params),
        previous_step=jax.tree.map(wide_zeros, params),
        hyperparams=settings.hyperparams(),
    )
    trees = ("running_mean", "previous_mean", "previous_step")
    return scalars_on_mesh_of(params, state, trees)


def adopt_settings(
    settings: WindowedSettings, state: WindowedAutoDropState
) -> WindowedAutoDropState:
    """Returns the state with the constructor's hyperparameters in place of its own.

    Raises:
      ValueError: the state was made with another ``buffer_size``, which shapes it.
    """
    there = state.angles.shape[-1]
    if settings.buffer_size != there:
        raise ValueError(
            "The state does not fit the transformation: buffer_size is"
            f" {settings.buffer_size} here, but was {there} where the state was made."
            " Build the transformation as it was then, or make a new state with init."
        )
    hyperparams = jax.tree.map(on_mesh_of, state.hyperparams, settings.hyperparams())
    return state._replace(hyperparams=hyperparams)


def add_sample(
    state: WindowedAutoDropState, params: optax.Params
) -> WindowedAutoDropState:
    """Takes the parameters into the mean of the present window."""
    samples = state.num_samples + 1
    first = samples == 1

    def add(mean: jax.Array, x: jax.Array) -> jax.Array:
        x = widen(x)
        later = mean + (x - mean) * (1 / samples.astype(mean.dtype))
        # Selected: what a window before it left here, NaN perhaps, is gone.
        return jnp.where(first, x, later)

    pairs = zip(inexact_leaves(state.running_mean), inexact_leaves(params), strict=True)
    mean = replace_inexact(state.running_mean, [add(*pair) for pair in pairs])
    return state._replace(num_samples=samples, running_mean=mean)


def finish_window(state: WindowedAutoDropState) -> WindowedAutoDropState:
    """The end of a window: measures, decides, drops.

    Without an angle (a step is zero, the mean is not finite, or there are not three
    means yet) the window counts and decides nothing, and the buffer and the smoothed
    angle stay as they are. A mean that is not finite is forgotten: the next step
    leads from the last finite one.
    """
    hyper = state.hyperparams
    mean = inexact_leaves(state.running_mean)
    y = inexact_leaves(state.previous_mean)
    s = inexact_leaves(state.previous_step)
    turn = measure_turn(mean, y, s)

    def record_step(operand):
        mean, y, _ = operand
        s = [step_between(*pair) for pair in zip(mean, y, strict=True)]
        # The condition holds here; the selection only has y written after s, the last
        # to read it. Without an order XLA would save y first.
        y = [jnp.where(turn.finite, p, q) for p, q in zip(mean, s, strict=True)]
        return mean, y, s

    mean, y, s = once(turn.finite, record_step, (mean, y, s))

    # The first mean is no step from anywhere; an angle takes two steps.
    angle = jnp.where(state.num_means < 2, jnp.nan, turn.angle)
    informed = jnp.isfinite(angle)
    newest = jnp.concatenate([state.angles[1:], angle[None]])
    angles = jnp.where(informed, newest, state.angles)
    smoothed = jnp.where(
        informed, smooth(angles, hyper.smooth_by_value), state.smoothed_angle
    )
    # Comparisons with NaN are false: no information, no decision.
    change = jnp.where(informed, smoothed - state.smoothed_angle, jnp.nan)
    drop = jnp.where(hyper.two_sided, jnp.abs(change), change) < hyper.threshold

    # A floor above the present rate leaves the rate where it is.
    floor = jnp.minimum(
        hyper.min_learning_rate / hyper.initial_learning_rate, state.rate_scale
    )
    scale = jnp.maximum(floor, hyper.drop_factor * state.rate_scale)
    windows = jnp.asarray(optax.safe_increment(state.windows))
    num_drops = optax.safe_increment(state.num_drops)
    num_means = optax.safe_increment(state.num_means)
    return WindowedAutoDropState(
        step=jnp.zeros_like(state.step),
        num_samples=jnp.zeros_like(state.num_samples),
        windows=windows,
        rate_scale=jnp.where(drop, scale, state.rate_scale),
        angle=angle,
        angles=jnp.where(drop, jnp.nan, angles),
        smoothed_angle=jnp.where(drop, jnp.nan, smoothed),
        smoothed_change=change,
        num_drops=jnp.where(drop, num_drops, state.num_drops),
        last_drop_window=jnp.where(drop, windows, state.last_drop_window),
        step_norm=jnp.where(state.num_means < 1, 0.0, turn.norm),
        num_means=jnp.where(turn.finite, num_means, state.num_means),
        running_mean=replace_inexact(state.running_mean, mean),
        previous_mean=replace_inexact(state.previous_mean, y),
        previous_step=replace_inexact(state.previous_step, s),
        hyperparams=hyper,
    )


def smooth(angles: jax.Array, by_value: jax.Array) -> jax.Array:
    """The newest angle, smoothed by a Gaussian over the m angles of the buffer.

    The Gaussian has the width ``min(std, m / 2)``, std the standard deviation of the
    angles (divided by m). It is centred on the newest angle: in time, so that an angle
    j windows old weighs ``exp(-j^2 / (2 width^2))``; or on the newest value, so that
    one d degrees away weighs ``exp(-d^2 / (2 width^2))``.

    Args:
      angles: degrees, shape ``(m,)``, the newest last.
      by_value: whether on the value, bool scalar.

    Returns:
      Degrees, scalar; NaN if one of the angles is NaN.
    """
    width = jnp.minimum(jnp.std(angles), angles.size / 2)
    age = jnp.arange(angles.size - 1, -1, -1, dtype=angles.dtype)
    distance = jnp.where(by_value, angles - angles[-1], age)
    # The newest angle has the weight 1 at any width, zero too.
    weights = jnp.exp(-0.5 * jnp.where(distance == 0, 0, distance / width) ** 2)
    return jnp.sum(weights * angles) / jnp.sum(weights)
