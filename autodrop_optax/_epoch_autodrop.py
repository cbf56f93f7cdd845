"""Algorithm 1 of AutoDrop (Teng, Wang, Choromanska, 2021): epochs, a delay, an average.

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

:func:`finish_epoch` is these lines. The link here calls it where it counts its steps
itself; ``_with_epoch_autodrop.py`` has the wrapper and :func:`end_epoch`, which call
it for all others.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from autodrop_optax._anchor import move_anchor
from autodrop_optax._checks import are_known, check_fits, check_with_rate
from autodrop_optax._link import adopt, initialiser, observe, require_params, scalars
from autodrop_optax._once import once
from autodrop_optax._placement import MemoryKind, load, store, stored
from autodrop_optax._scale import count_if, drop_scale, rate_at, scale_updates
from autodrop_optax._trees import (
    map_inexact,
    new_tree,
    round_to,
    strong_copy,
    wide_dtype,
    wide_zeros,
)

Retrigger = Literal["ignore", "restart"]
AnchorChoice = Literal["after_averaging", "before_averaging"]


class EpochAutoDropHyperparams(NamedTuple):
    """The constructor's arguments as arrays, with the letters of Algorithm 1.

    No name here or in the state is one that optax uses, so that ``optax.tree.get`` for
    ``"learning_rate"`` or ``"scale"`` goes on finding the optimizer's.
    """

    initial_learning_rate: jax.Array  # shape (), float32 [alpha_0]
    drop_factor: jax.Array  # shape (), float32 [rho]
    min_learning_rate: jax.Array  # shape (), float32 [alpha_min]
    threshold: jax.Array  # shape (), float32, degrees [theta_0]
    max_threshold: jax.Array  # shape (), float32, degrees [theta_max]
    drop_delay: jax.Array  # shape (), int32, epochs [n_d]
    restart_on_retrigger: jax.Array  # shape (), bool
    anchor_before_averaging: jax.Array  # shape (), bool


class EpochAutoDropState(NamedTuple):
    """State of Algorithm 1. Its structure, shapes and dtypes never change.

    The three trees have the parameters' structure; leaves that are not floating point
    or complex are only kept to fill their place. Nothing in it is ever NaN: an angle
    that is not there, for lack of steps or of information, is infinite.
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

    @property
    def covered(self) -> optax.Params:
        """A tree with the parameters that this state is about."""
        return self.anchor

    def metrics(self) -> dict[str, jax.Array]:
        """What there is to log, see :func:`autodrop_metrics`."""
        hyper = self.hyperparams
        return {
            "learning_rate": rate_at(
                self.rate_scale, hyper.initial_learning_rate, hyper.min_learning_rate
            ),
            "angular_velocity": self.angles[..., -1],
            "angular_velocity_change": angular_velocity_change(self.angles),
            "threshold": self.threshold,
            "delay_count": self.delay_count,
            "num_drops": self.num_drops,
            "epoch": self.epoch,
            "step_norm": self.step_norm,
            "epochs_since_drop": self.epoch - self.last_drop_epoch,
            "averaged": self.averaged,
        }


def epoch_autodrop(
    learning_rate: chex.Numeric,
    *,
    drop_factor: chex.Numeric = 0.2,
    min_learning_rate: chex.Numeric = 1e-4,
    threshold: chex.Numeric = 0.01,
    max_threshold: chex.Numeric = 1.0,
    drop_delay: chex.Numeric = 20,
    averaging: bool = True,
    window: int = 1,
    retrigger: Retrigger = "ignore",
    anchor: AnchorChoice = "after_averaging",
    state_dtype: jax.typing.DTypeLike | None = None,
    state_memory_kind: MemoryKind = "device",
    steps_per_epoch: int | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Drops the learning rate when the angular velocity of the parameters saturates.

    A link for :func:`optax.chain` that multiplies updates by ``alpha / alpha_0``. The
    angular velocity is the angle between the steps of consecutive epochs. It rises
    while the optimizer makes headway at the present rate; once it has stopped changing
    the rate is multiplied by ``drop_factor`` (Algorithm 1).

    Call :func:`end_epoch` once per epoch. In between the link only scales, so it may
    stand in every position. Behind the optimizer it does what setting its learning rate
    by hand does. In front of SGD with momentum the gradient is scaled before the
    momentum sums it: the heavy-ball method of the paper's analysis (equation 7, s = 0).
    Adam and its relatives cancel any scaling of their gradients: behind them alone.

    Do not scale an optimizer whose updates are jumps to a point (``optax.lookahead``,
    ``schedule_free``, ``sam``, ``mechanize``, ``madgrad`` and ``cocob`` of
    ``optax.contrib``): put ``with_epoch_autodrop(base, ..., averaging=False)`` inside,
    around its base optimizer.

    Args:
      learning_rate: the rate that the rest of the chain uses, a number [alpha_0]. A
        schedule stays in the chain and goes on working: AutoDrop only scales.
      drop_factor: what a drop multiplies the rate by, between 0 and 1 [rho].
      min_learning_rate: drops take the rate no lower [alpha_min]. Below
        ``learning_rate``.
      threshold: degrees per epoch. Changes of the angular velocity below it are
        saturation [theta_0]. 0 never drops.
      max_threshold: degrees per epoch. A drop divides the threshold by
        ``drop_factor``, up to this [theta_max].
      drop_delay: epochs from the trigger to the drop, the first one counted [n_d].
      averaging: at a drop, put the average of the parameters over the delay, weighted
        1, 2, ..., n_d, in their place.
      window: epochs. The change is that of the mean of the last ``window`` angles from
        one epoch to the next. 1 is Algorithm 1. An epoch without an angle blocks
        decisions until it has left the window.
      retrigger: what saturation during the delay does. ``"ignore"``: nothing.
        ``"restart"``: delay and average start again, as the pseudo-code says when read
        to the letter; with a threshold above the noise of the angles and a delay of
        two epochs or more, no drop ever comes.
      anchor: from where the step after an averaging is measured, the parameters
        averaged (``"after_averaging"``) or not (``"before_averaging"``).
      state_dtype: what ``init`` makes the state's copies of the parameters in. By
        default the anchor has the parameters' dtypes, previous step and average those,
        but float32 at least. In a narrower one the angle is that of the rounded
        parameters, and an averaging rounds the parameters. Complex leaves are left
        alone. float16 ends at 65504: parameters beyond give no information.
      state_memory_kind: where ``init`` puts them, ``"device"`` or ``"pinned_host"``,
        the host's memory: only ends of epochs need them. On CPUs JAX before 0.10.2
        leaves them in the device's memory.
      steps_per_epoch: calls of ``update`` per epoch, for a link that counts for itself:
        it measures at the first step of the next epoch and needs ``params`` in
        ``update``. A link cannot move parameters: ``averaging`` must be False.

    Returns:
      An :class:`optax.GradientTransformationExtraArgs` with an
      :class:`EpochAutoDropState`. ``update`` puts the constructor's numbers into the
      state, so :func:`optax.inject_hyperparams` works (name all from ``averaging`` on
      in its ``static_args``), and so does ``jax.vmap`` over them. A ``threshold`` other
      than the one in the state replaces the present one.

    Raises:
      ValueError: an argument is out of its range, ``learning_rate`` is a schedule, or a
        link that counts is asked to average. In ``init``: no leaf is of floating point
        or complex dtype. In ``update``: the state was made with another ``window``,
        ``averaging`` or way of counting; ``params`` are needed and missing, or not
        those of ``init``.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from autodrop_optax import epoch_autodrop, autodrop_metrics, end_epoch
      >>> link = epoch_autodrop(0.1, threshold=1.0, drop_delay=2)
      >>> optimizer = optax.chain(optax.sgd(0.1), link)
      >>> params = jnp.array([1.0, -2.0])
      >>> state = optimizer.init(params)
      >>> for epoch in range(20):
      ...     for step in range(5):
      ...         gradients = params * jnp.array([1.0, 0.1])
      ...         updates, state = optimizer.update(gradients, state)
      ...         params = optax.apply_updates(params, updates)
      ...     params, state = end_epoch(params, state)
      >>> bool(autodrop_metrics(state)["num_drops"] > 0)
      True

    References:
      Teng, Wang, Choromanska, `AutoDrop: Training Deep Learning Models with Automatic
      Learning Rate Drop <https://arxiv.org/abs/2111.15317>`_, 2021, Algorithm 1.
    """
    arguments = dict(locals())
    if threshold is None:
        raise ValueError(
            "threshold must be a number of degrees per epoch, got None. The paper"
            " recommends threshold=0.01; threshold=0 never drops."
        )
    counting = steps_per_epoch is not None
    if not counting:
        del arguments["steps_per_epoch"]
    check_with_rate("epoch_autodrop", **arguments)
    if are_known(threshold, max_threshold) and threshold > max_threshold:
        raise ValueError(
            f"threshold={threshold} exceeds max_threshold={max_threshold}, up to which"
            " drops raise it. Pass a max_threshold at least as large."
        )
    if counting and averaging:
        raise ValueError(
            "averaging=True with steps_per_epoch: a link cannot move the parameters."
            " Pass averaging=False; or leave steps_per_epoch out and call"
            " end_epoch(params, opt_state) once per epoch; or use"
            " with_epoch_autodrop(optimizer, learning_rate, steps_per_epoch)."
        )

    def hyperparams() -> EpochAutoDropHyperparams:
        rates = learning_rate, drop_factor, min_learning_rate
        return EpochAutoDropHyperparams(
            *scalars(jnp.float32, *rates, threshold, max_threshold),
            *scalars(jnp.int32, drop_delay),
            *scalars(jnp.bool_, retrigger == "restart", anchor == "before_averaging"),
        )

    @initialiser("anchor", "previous_step", "average")
    def init_fn(params) -> EpochAutoDropState:
        def tree(fill: Callable[[jax.Array], jax.Array]) -> optax.Params:
            return stored(new_tree(fill, params), state_dtype, state_memory_kind)

        hyper = hyperparams()
        return EpochAutoDropState(
            step=jnp.zeros((), jnp.int32) if counting else None,
            epoch=jnp.zeros((), jnp.int32),
            rate_scale=jnp.ones((), jnp.float32),
            threshold=jnp.copy(hyper.threshold),
            angles=jnp.full((window + 1,), jnp.inf, jnp.float32),
            delay_count=jnp.zeros((), jnp.int32),
            dropping=jnp.zeros((), jnp.bool_),
            num_drops=jnp.zeros((), jnp.int32),
            last_drop_epoch=jnp.zeros((), jnp.int32),
            averaged=jnp.zeros((), jnp.bool_),
            step_norm=jnp.zeros((), jnp.float32),
            anchor=tree(strong_copy),
            previous_step=tree(wide_zeros),
            average=tree(wide_zeros) if averaging else None,
            hyperparams=hyper,
        )

    def update_fn(updates, state, params=None, **extra_args) -> Any:
        del extra_args
        before = state
        state = adopt(state, EpochAutoDropState, "epoch_autodrop", hyperparams())
        check_fits("window", window, state.angles.shape[-1] - 1)
        check_fits("averaging", averaging, state.average is not None)
        check_fits("steps_per_epoch given", counting, state.step is not None)
        if state.dropping.dtype != jnp.bool_:
            raise ValueError(
                f"AutoDrop's flag `dropping` came back as {state.dropping.dtype}:"
                " something around it mixes old and new states by arithmetic, which"
                " makes NaN of the infinity that stands for an angle not there yet."
                " optax.contrib.sam does so unless it is given opaque_mode=True."
            )
        # A theta_0 that is not the one in the state is a new theta, from now on.
        hyper = state.hyperparams
        same = hyper.threshold == before.hyperparams.threshold
        theta = jnp.where(same, state.threshold, hyper.threshold)
        state = state._replace(threshold=jnp.minimum(theta, hyper.max_threshold))
        if steps_per_epoch is not None:
            params = require_params(params, "epoch_autodrop(..., steps_per_epoch=...)")
            # The step before this one may have ended an epoch with these parameters.
            over = counted_steps(state) >= steps_per_epoch
            state = observe(_finish_epoch_if, state, params, over)
            state = state._replace(step=counted_steps(state) + 1)
        return scale_updates(updates, state.rate_scale), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _finish_epoch_if(
    state: EpochAutoDropState, params: optax.Params, condition: jax.Array
) -> EpochAutoDropState:
    """For the link that counts: the parameters are only read."""
    return once(condition, lambda state: finish_epoch(state, params)[0], state)


def finish_epoch(
    state: EpochAutoDropState, x: optax.Params
) -> tuple[EpochAutoDropState, Any]:
    """The end of an epoch: Algorithm 1 from ``s_t = x - y`` to ``y = x``.

    Where a step is zero there is no angle. Where the parameters are not finite the
    epoch gives no information: there is no angle, the epoch counts, and nothing else
    changes, so that later epochs are measured from the last finite anchor.

    Args:
      state: the state.
      x: the parameters at the end of the epoch.

    Returns:
      The new state and the parameters, averaged where that was due.
    """
    hyper = state.hyperparams
    turn, x, y, s = move_anchor(x, state.anchor, state.previous_step)
    angles = jnp.concatenate([state.angles[1:], turn.angle[None]])

    # No angle, no change below a threshold: no information, no decision.
    trigger = jnp.abs(angular_velocity_change(angles)) < state.threshold
    restart = trigger & hyper.restart_on_retrigger
    dropping = state.dropping | trigger
    counts = dropping & turn.finite
    k = count_if(counts, jnp.where(restart, 0, state.delay_count))
    drop = counts & (k >= hyper.drop_delay)

    z = state.average
    averaged = jnp.zeros_like(drop)
    if z is not None:
        averaged = drop & (k > 1)  # the average of one epoch is that epoch
        rebase = averaged & ~hyper.anchor_before_averaging

        # With move_anchor the only place where arrays of the parameters' size are
        # written: in place, and only when they change.
        def average_parameters(operand):
            x, y, z = operand
            z = _add_to_average(z, x, k)
            x = _select(averaged, z, x)
            return x, _select(rebase, x, y), z

        x, y, z = once(counts, average_parameters, (x, y, load(z)))
        z = store(z, state.average)

    floor = hyper.min_learning_rate / hyper.initial_learning_rate
    scale = drop_scale(state.rate_scale, hyper.drop_factor, floor)
    theta = jnp.minimum(hyper.max_threshold, state.threshold / hyper.drop_factor)
    epoch = jnp.asarray(optax.safe_increment(state.epoch))
    state = EpochAutoDropState(
        step=None if state.step is None else jnp.zeros_like(state.step),
        epoch=epoch,
        rate_scale=jnp.where(drop, scale, state.rate_scale),
        threshold=jnp.where(drop, theta, state.threshold),
        angles=angles,
        delay_count=jnp.where(drop, 0, k),
        dropping=dropping & ~drop,
        num_drops=count_if(drop, state.num_drops),
        last_drop_epoch=jnp.where(drop, epoch, state.last_drop_epoch),
        averaged=averaged,
        step_norm=turn.norm,
        anchor=store(y, state.anchor),
        previous_step=store(s, state.previous_step),
        average=z,
        hyperparams=hyper,
    )
    return state, x


def angular_velocity_change(angles: jax.Array) -> jax.Array:
    """Mean of the last n of n + 1 angles minus that of the first n, in degrees.

    All but the outermost two cancel. If one of the angles is not there it is infinite.
    """
    there = jnp.all(jnp.isfinite(angles), axis=-1)
    newest, oldest = (jnp.where(there, angles[..., i], 0) for i in (-1, 0))
    return jnp.where(there, (newest - oldest) / (angles.shape[-1] - 1), jnp.inf)


def counted_steps(state: EpochAutoDropState) -> jax.Array:
    """Returns the steps into the epoch, with room to count one more."""
    assert state.step is not None  # the update has seen to it
    return jnp.minimum(state.step, jnp.iinfo(jnp.int32).max - 1)


def _add_to_average(average: Any, x: Any, k: jax.Array) -> Any:
    """The mean of x_1, ..., x_k with weights 1, ..., k, from that without x_k.

    2 z / (k (k + 1)) as a running mean, which does not overflow where z would.
    """
    weight = 2.0 / (k.astype(jnp.float32) + 1.0)

    def add(mean: jax.Array, value: jax.Array) -> jax.Array:
        wide = np.promote_types(wide_dtype(value.dtype), wide_dtype(mean.dtype))
        value, before = value.astype(wide), mean.astype(wide)
        later = before + (value - before) * weight.astype(wide)
        return round_to(jnp.where(k == 1, value, later), mean.dtype)

    return map_inexact(add, average, x)


def _select(condition: jax.Array, tree: Any, other: Any) -> Any:
    """``tree`` in the dtypes of ``other`` where ``condition`` holds, else ``other``."""
    return map_inexact(
        lambda p, v: jnp.where(condition, round_to(v, p.dtype), p), other, tree
    )
