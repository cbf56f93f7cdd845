"""Algorithm 1 of AutoDrop (Teng, Wang, Choromanska, 2021), as one pure function.

Epochs are t = 1, 2, ...; angles are in degrees. With x the parameters at the end of
epoch t and y those at its start, the anchor:

    s_t = x - y
    w_t = angle(s_t, s_{t-1})                            the angular velocity
    trigger if t > 2 and |w_t - w_{t-1}| < theta         it has saturated
    dropping = dropping or trigger
    if dropping:
        k = k + 1;  z = z + k x
        if k >= n_d:
            x = 2 z / (n_d (n_d + 1))                    the weighted average
            alpha = max(alpha_min, rho alpha)
            theta = min(theta_max, theta / rho)
            k = 0;  z = 0;  dropping = False
    y = x

:func:`finish_epoch` is these lines; ``_link.py``, ``_wrapper.py``
and ``_end_epoch.py`` call it, each at its own moment.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from autodrop_optax._angle import measure_turn
from autodrop_optax._once import once
from autodrop_optax._placement import (
    load,
    on_mesh_of,
    scalars_on_mesh_of,
    store,
    to_host,
)
from autodrop_optax._settings import EpochAutoDropHyperparams, Settings
from autodrop_optax._trees import (
    check_measurable,
    inexact_leaves,
    is_inexact,
    replace_inexact,
    round_to,
    step_between,
    wide_dtype,
    wide_zeros,
)


class EpochAutoDropState(NamedTuple):
    """State of AutoDrop. Its structure, shapes and dtypes never change.

    The three trees have the parameters' structure; leaves that are not floating point
    or complex are only kept to fill their place.
    """

    step: jax.Array | None  # shape (), int32: steps into the epoch; None: not counted
    epoch: jax.Array  # shape (), int32: epochs finished [t]
    rate_scale: jax.Array  # shape (), float32 [alpha / alpha_0]
    threshold: jax.Array  # shape (), float32, degrees [theta]
    angles: jax.Array  # shape (window + 1,), float32, degrees, the newest last [w]
    delay_count: jax.Array  # shape (), int32 [k]
    dropping: jax.Array  # shape (), bool
    num_drops: jax.Array  # shape (), int32
    last_drop_epoch: jax.Array  # shape (), int32: 0 before the first
    averaged: jax.Array  # shape (), bool: the last epoch end moved the parameters
    step_norm: jax.Array  # shape (), float32 [|s_t|]
    # The dtypes of these three are state_dtype, or else as said here.
    anchor: optax.Params  # dtypes of the parameters [y]
    previous_step: optax.Params  # dtypes of the parameters, float32 at least [s_{t-1}]
    average: optax.Params | None  # the same [2 z / (k (k + 1))]; None: no averaging
    hyperparams: EpochAutoDropHyperparams


def init_state(
    settings: Settings, params: optax.Params, *, counting: bool
) -> EpochAutoDropState:
    """Returns the state before the first epoch.

    Args:
      settings: the hyperparameters.
      params: the parameters; their leaves' sharding is inherited. Where they are
        ``jax.ShapeDtypeStruct``, so are the leaves of the state, of shape and dtype
        alone.
      counting: whether the state counts steps.

    Raises:
      ValueError: ``params`` has leaves, but none of floating point or complex dtype;
        or it is ``optax.LookaheadParams``.
    """
    check_measurable(params)
    leaves = jax.tree.leaves(params)
    if any(isinstance(x, jax.ShapeDtypeStruct) for x in leaves):
        return jax.eval_shape(
            functools.partial(init_state, settings, counting=counting), params
        )

    def stored(values: jax.Array) -> jax.Array:
        dtype = settings.state_dtype
        if dtype is not None and not jnp.iscomplexobj(values):
            values = round_to(values, dtype)
        return to_host(values) if settings.state_memory_kind != "device" else values

    def copy(x: jax.Array) -> jax.Array:
        # A buffer of its own, so that both can be donated; never weakly typed.
        return stored(jnp.copy(x).astype(x.dtype)) if is_inexact(x) else jnp.copy(x)

    def zeros(x: jax.Array) -> jax.Array:
        return stored(wide_zeros(x)) if is_inexact(x) else jnp.copy(x)

    hyperparams = settings.hyperparams()
    state = EpochAutoDropState(
        step=jnp.zeros((), jnp.int32) if counting else None,
        epoch=jnp.zeros((), jnp.int32),
        rate_scale=jnp.ones((), jnp.float32),
        threshold=jnp.copy(hyperparams.threshold),
        angles=jnp.full((settings.window + 1,), jnp.nan, jnp.float32),
        delay_count=jnp.zeros((), jnp.int32),
        dropping=jnp.zeros((), jnp.bool_),
        num_drops=jnp.zeros((), jnp.int32),
        last_drop_epoch=jnp.zeros((), jnp.int32),
        averaged=jnp.zeros((), jnp.bool_),
        step_norm=jnp.zeros((), jnp.float32),
        anchor=jax.tree.map(copy, params),
        previous_step=jax.tree.map(zeros, params),
        average=jax.tree.map(zeros, params) if settings.averaging else None,
        hyperparams=hyperparams,
    )
    return scalars_on_mesh_of(params, state, ("anchor", "previous_step", "average"))


def adopt_settings(
    settings: Settings, state: EpochAutoDropState, *, counting: bool
) -> EpochAutoDropState:
    """Returns the state with the constructor's hyperparameters in place of its own.

    A ``threshold`` that is not the one in the state is a new theta, from now on.

    Raises:
      ValueError: the state was made with another ``window`` or ``averaging``, or to be
        driven another way, which shape the state and cannot be adopted; or it is not
        what the last update returned.
    """
    for name, here, there in (
        ("window", settings.window, state.angles.shape[-1] - 1),
        ("averaging", settings.averaging, state.average is not None),
        ("steps_per_epoch given", counting, state.step is not None),
    ):
        if here != there:
            raise ValueError(
                f"The state does not fit the transformation: {name} is {here} here, but"
                f" was {there} where the state was made. Build the transformation as it"
                " was then, or make a new state with init."
            )
    if state.dropping.dtype != jnp.bool_:
        raise ValueError(
            f"AutoDrop's flag `dropping` came back as {state.dropping.dtype}: something"
            " around it mixes old and new states by arithmetic, in which the NaN of an"
            " angle that is not there yet would stay for ever. optax.contrib.sam does"
            " so unless it is given opaque_mode=True."
        )
    hyperparams = jax.tree.map(on_mesh_of, state.hyperparams, settings.hyperparams())
    same = hyperparams.threshold == state.hyperparams.threshold
    threshold = jnp.where(same, state.threshold, hyperparams.threshold)
    threshold = jnp.minimum(threshold, hyperparams.max_threshold)
    return state._replace(threshold=threshold, hyperparams=hyperparams)


def finish_epoch(
    state: EpochAutoDropState, params: optax.Params
) -> tuple[EpochAutoDropState, optax.Params]:
    """The end of an epoch: Algorithm 1 from ``s_t = x - y`` to ``y = x``.

    Where a step is zero the angle is NaN. Where the parameters are not finite the
    epoch gives no information: the angle is NaN, the epoch counts, and nothing else
    changes, so that later epochs are measured from the last finite anchor.

    Args:
      state: the state.
      params: the parameters at the end of the epoch, the tree that ``init`` was given.

    Returns:
      The new state and the parameters, averaged where that was due.
    """
    hyper = state.hyperparams
    x = inexact_leaves(params)
    stored_y = inexact_leaves(state.anchor)
    stored_s = inexact_leaves(state.previous_step)
    y, s = load(stored_y), load(stored_s)
    turn = measure_turn(x, y, s)
    angles = jnp.concatenate([state.angles[1:], turn.angle[None]])

    # Comparisons with NaN are false: no information, no decision.
    trigger = jnp.abs(angular_velocity_change(angles)) < state.threshold
    restart = trigger & hyper.restart_on_retrigger
    dropping = state.dropping | trigger
    counts = dropping & turn.finite
    k = jnp.where(restart, 0, state.delay_count)
    k = jnp.where(counts, optax.safe_increment(k), k)
    drop = counts & (k >= hyper.drop_delay)

    # Arrays of the parameters' size are written in these two loops alone: in place,
    # and only when they change. x goes through both, though only the second changes
    # it: a loop that read x from outside would not be ordered before the one that
    # overwrites it, and XLA would copy x for safety.
    def record_step(operand):
        x, y, s = operand
        s = [
            round_to(step_between(p, q), r.dtype)
            for p, q, r in zip(x, y, s, strict=True)
        ]
        # y = x. The condition holds here; the selection only has y written after s,
        # the last to read it. Without an order XLA would save y first.
        y = [
            jnp.where(turn.finite, round_to(p, q.dtype), r.astype(q.dtype))
            for p, q, r in zip(x, y, s, strict=True)
        ]
        return x, y, s

    x, y, s = once(turn.finite, record_step, (x, y, s))
    average = state.average
    averaged = jnp.zeros_like(drop)
    if average is not None:
        averaged = drop & (k > 1)  # the average of one epoch is that epoch
        rebase = averaged & ~hyper.anchor_before_averaging
        stored_z = inexact_leaves(average)

        def average_parameters(operand):
            x, y, z = operand
            z = _add_to_average(z, x, k)
            x = _select(averaged, z, x)
            return x, _select(rebase, x, y), z

        x, y, z = once(counts, average_parameters, (x, y, load(stored_z)))
        average = replace_inexact(average, store(z, stored_z))

    # A floor above the present rate leaves the rate where it is.
    floor = jnp.minimum(
        hyper.min_learning_rate / hyper.initial_learning_rate, state.rate_scale
    )
    scale = jnp.maximum(floor, hyper.drop_factor * state.rate_scale)
    threshold = jnp.minimum(hyper.max_threshold, state.threshold / hyper.drop_factor)

    epoch = jnp.asarray(optax.safe_increment(state.epoch))
    num_drops = optax.safe_increment(state.num_drops)
    state = EpochAutoDropState(
        step=None if state.step is None else jnp.zeros_like(state.step),
        epoch=epoch,
        rate_scale=jnp.where(drop, scale, state.rate_scale),
        threshold=jnp.where(drop, threshold, state.threshold),
        angles=angles,
        delay_count=jnp.where(drop, 0, k),
        dropping=dropping & ~drop,
        num_drops=jnp.where(drop, num_drops, state.num_drops),
        last_drop_epoch=jnp.where(drop, epoch, state.last_drop_epoch),
        averaged=averaged,
        step_norm=turn.norm,
        anchor=replace_inexact(state.anchor, store(y, stored_y)),
        previous_step=replace_inexact(state.previous_step, store(s, stored_s)),
        average=average,
        hyperparams=hyper,
    )
    return state, replace_inexact(params, x)


def angular_velocity_change(angles: jax.Array) -> jax.Array:
    """Mean of the last n of n + 1 angles minus that of the first n, in degrees.

    All but the outermost two cancel. A NaN among them blocks all the same.
    """
    change = (angles[-1] - angles[0]) / (angles.size - 1)
    return jnp.where(jnp.any(jnp.isnan(angles)), jnp.nan, change)


def _add_to_average(
    average: list[jax.Array], x: list[jax.Array], k: jax.Array
) -> list[jax.Array]:
    """The mean of x_1, ..., x_k with weights 1, ..., k, from that without x_k.

    2 z / (k (k + 1)) as a running mean, which does not overflow where z would.
    """
    weight = 2.0 / (k.astype(jnp.float32) + 1.0)

    def add(mean: jax.Array, value: jax.Array) -> jax.Array:
        wide = np.promote_types(wide_dtype(value.dtype), wide_dtype(mean.dtype))
        value, before = value.astype(wide), mean.astype(wide)
        later = before + (value - before) * weight.astype(wide)
        return round_to(jnp.where(k == 1, value, later), mean.dtype)

    return [add(*pair) for pair in zip(average, x, strict=True)]


def _select(
    condition: jax.Array, values: list[jax.Array], others: list[jax.Array]
) -> list[jax.Array]:
    """``values`` where ``condition`` holds, rounded to the dtypes of ``others``."""
    pairs = zip(values, others, strict=True)
    return [jnp.where(condition, round_to(v, p.dtype), p) for v, p in pairs]
