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

:func:`_finish_window` is these lines. The printed algorithm has defects; the table in
``docs/windowed.md`` sets out what was chosen in their place, and why.
"""

from typing import Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from autodrop_optax._anchor import move_anchor
from autodrop_optax._checks import (
    are_known,
    check_fits,
    check_with_rate,
)
from autodrop_optax._link import adopt, initialiser, observe, require_params, scalars
from autodrop_optax._once import once
from autodrop_optax._scale import count_if, drop_scale, rate_at, scale_updates
from autodrop_optax._trees import map_inexact, new_tree, wide_zeros, widen

Smoothing = Literal["time", "value"]


class WindowedAutoDropHyperparams(NamedTuple):
    """The constructor's arguments as arrays, with the paper's letters."""

    initial_learning_rate: jax.Array  # shape (), float32 [alpha_0]
    drop_factor: jax.Array  # shape (), float32 [rho]
    min_learning_rate: jax.Array  # shape (), float32 [alpha_min]
    threshold: jax.Array  # shape (), float32, degrees
    window_steps: jax.Array  # shape (), int32 [k]
    sample_every: jax.Array  # shape (), int32, steps
    smooth_by_value: jax.Array  # shape (), bool
    two_sided: jax.Array  # shape (), bool


class WindowedAutoDropState(NamedTuple):
    """State of windowed AutoDrop. Its structure, shapes and dtypes never change.

    The three trees have the parameters' structure and shapes, in their dtypes but
    float32 at least; leaves that are not floating point or complex are only kept to
    fill their place. Nothing in it is ever NaN: an angle that is not there is infinite.
    """

    step: jax.Array  # shape (), int32: steps into the window
    num_samples: jax.Array  # shape (), int32: parameters in the running mean
    windows: jax.Array  # shape (), int32: windows finished [i]
    rate_scale: jax.Array  # shape (), float32 [alpha / alpha_0]
    angle: jax.Array  # shape (), float32, degrees: of the last window [w_i]
    angles: jax.Array  # shape (buffer_size,), float32, degrees, the newest last,
    #                    infinite where none is yet [B]
    smoothed_angle: jax.Array  # shape (), float32, degrees; infinite: none yet [C_i]
    smoothed_change: jax.Array  # shape (), float32, degrees [C_i - C_{i-1}]
    num_drops: jax.Array  # shape (), int32
    last_drop_window: jax.Array  # shape (), int32: 0 before the first
    step_norm: jax.Array  # shape (), float32 [|s_i|]
    num_means: jax.Array  # shape (), int32: finite means of windows so far
    running_mean: optax.Params
    previous_mean: optax.Params  # [y_{i-1}]
    previous_step: optax.Params  # [s_{i-1}]
    hyperparams: WindowedAutoDropHyperparams

    @property
    def covered(self) -> optax.Params:
        """A tree with the parameters that this state is about."""
        return self.running_mean

    def metrics(self) -> dict[str, jax.Array]:
        """What there is to log, see :func:`autodrop_metrics`."""
        hyper = self.hyperparams
        return {
            "learning_rate": rate_at(
                self.rate_scale, hyper.initial_learning_rate, hyper.min_learning_rate
            ),
            "angular_velocity": self.angle,
            "angular_velocity_change": self.smoothed_change,
            "threshold": hyper.threshold,
            "num_drops": self.num_drops,
            "window": self.windows,
            "step_norm": self.step_norm,
            "windows_since_drop": self.windows - self.last_drop_window,
        }


def windowed_autodrop(
    learning_rate: chex.Numeric,
    *,
    window_steps: chex.Numeric = 64,
    drop_factor: chex.Numeric = 0.95,
    buffer_size: int = 10,
    threshold: chex.Numeric = 0.1,
    min_learning_rate: chex.Numeric = 1e-4,
    smoothing: Smoothing = "time",
    two_sided: bool = False,
    sample_every: chex.Numeric = 1,
) -> optax.GradientTransformationExtraArgs:
    """Many small drops of the learning rate, decided over windows of iterations.

    The second method published as AutoDrop. The parameters are averaged over windows of
    ``window_steps`` iterations, ``y_i``; the angular velocity ``w_i`` is the angle
    between ``y_i - y_{i-1}`` and ``y_{i-1} - y_{i-2}``. The angles since the last drop
    are smoothed; where the smoothed angle no longer rises by ``threshold`` from one
    window to the next, the rate is multiplied by ``drop_factor``. A drop comes
    ``buffer_size + 1`` angles after the last at the earliest, and in practice soon
    after: the course of the rate is close to an exponential decay, to about
    ``drop_factor ** (T / (12 * window_steps))`` of the first rate in T steps. Choose
    ``window_steps`` for the length of the run.

    A link for :func:`optax.chain` that counts for itself and only scales updates, by
    ``alpha / alpha_0``; so it may stand where :func:`epoch_autodrop` may, and must not
    scale the optimizers that are named there, nor :func:`with_epoch_autodrop`. The
    state holds three copies of the parameters, in 32 bits at least: the mean of the
    present window and of the one before, and the step before that. A window with
    parameters that are not finite, or a zero step, gives no angle and decides nothing;
    the next step leads from the last finite mean.

    Args:
      learning_rate: the rate that the rest of the chain uses, a number [alpha_0]. A
        schedule stays in the chain and goes on working.
      window_steps: calls of ``update`` per window [k]. The paper took 64 for CIFAR,
        640 for ImageNet.
      drop_factor: what a drop multiplies the rate by, between 0 and 1 [rho].
      buffer_size: angles that are smoothed, and that must have come since the last
        drop before any comparison [m].
      threshold: degrees per window. A smaller rise of the smoothed angle is
        saturation.
      min_learning_rate: drops take the rate no lower [alpha_min]. Below
        ``learning_rate``.
      smoothing: what the Gaussian lies over. ``"time"``: the newer an angle, the more
        it weighs. ``"value"``: the nearer an angle is to the newest one. Its width is
        the standard deviation of the angles in the buffer, at most ``buffer_size /
        2``, as printed: in time, degrees stand for windows there.
      two_sided: whether a fall of the smoothed angle by more than the threshold is no
        saturation. As printed any fall is.
      sample_every: iterations from one sample of the parameters to the next; must
        divide ``window_steps``. More cost less; ``window_steps`` itself compares the
        parameters at the windows' ends, without a mean.

    Returns:
      An :class:`optax.GradientTransformationExtraArgs` with a
      :class:`WindowedAutoDropState`. ``update`` needs ``params``, and scales by the
      rate that they lead to. It puts the constructor's numbers into the state, so
      :func:`optax.inject_hyperparams` works (name ``buffer_size``, ``smoothing`` and
      ``two_sided`` in its ``static_args``), and so does ``jax.vmap`` over them. Where
      ``window_steps`` and ``sample_every`` are arrays, a window ends with the first
      sample after ``window_steps`` iterations.

    Raises:
      ValueError: an argument is out of its range, ``learning_rate`` is a schedule, or
        ``sample_every`` does not divide ``window_steps``. In ``init``: no leaf is of
        floating point or complex dtype, or the parameters are
        ``optax.LookaheadParams``. In ``update``: the state was made with another
        ``buffer_size``; ``params`` are missing, or not those of ``init``.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from autodrop_optax import autodrop_metrics, windowed_autodrop
      >>> link = windowed_autodrop(0.1, window_steps=2, buffer_size=3)
      >>> optimizer = optax.chain(optax.sgd(0.1), link)
      >>> params = jnp.array([1.0, -2.0])
      >>> state = optimizer.init(params)
      >>> for step in range(40):
      ...     gradients = params * jnp.array([1.0, 0.1])
      ...     updates, state = optimizer.update(gradients, state, params)
      ...     params = optax.apply_updates(params, updates)
      >>> bool(autodrop_metrics(state)["num_drops"] > 0)
      True

    References:
      Wang, Teng, Choromanska, AutoDrop: Training Deep Learning Models with Automatic
      Learning Rate Drop, Conference on Uncertainty in Artificial Intelligence, 2024.
    """
    check_with_rate("windowed_autodrop", **locals())  # there are no other names yet
    if are_known(window_steps, sample_every) and np.mod(window_steps, sample_every):
        raise ValueError(
            f"window_steps={window_steps} is no multiple of sample_every="
            f"{sample_every}: windows end with a sample. Pass a sample_every that"
            " divides window_steps."
        )

    def hyperparams() -> WindowedAutoDropHyperparams:
        rates = learning_rate, drop_factor, min_learning_rate
        return WindowedAutoDropHyperparams(
            *scalars(jnp.float32, *rates, threshold),
            *scalars(jnp.int32, window_steps, sample_every),
            *scalars(jnp.bool_, smoothing == "value", two_sided),
        )

    @initialiser("running_mean", "previous_mean", "previous_step")
    def init_fn(params) -> WindowedAutoDropState:
        def no_angle(*shape: int) -> jax.Array:  # a buffer for each, to be donated
            return jnp.full(shape, jnp.inf, jnp.float32)

        return WindowedAutoDropState(
            step=jnp.zeros((), jnp.int32),
            num_samples=jnp.zeros((), jnp.int32),
            windows=jnp.zeros((), jnp.int32),
            rate_scale=jnp.ones((), jnp.float32),
            angle=no_angle(),
            angles=no_angle(buffer_size),
            smoothed_angle=no_angle(),
            smoothed_change=no_angle(),
            num_drops=jnp.zeros((), jnp.int32),
            last_drop_window=jnp.zeros((), jnp.int32),
            step_norm=jnp.zeros((), jnp.float32),
            num_means=jnp.zeros((), jnp.int32),
            running_mean=new_tree(wide_zeros, params),
            previous_mean=new_tree(wide_zeros, params),
            previous_step=new_tree(wide_zeros, params),
            hyperparams=hyperparams(),
        )

    def update_fn(updates, state, params=None, **extra_args) -> Any:
        del extra_args
        state = adopt(state, WindowedAutoDropState, "windowed_autodrop", hyperparams())
        check_fits("buffer_size", buffer_size, state.angles.shape[-1])
        state = observe(_step, state, require_params(params, "windowed_autodrop"))
        return scale_updates(updates, state.rate_scale), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _step(state: WindowedAutoDropState, params: optax.Params) -> WindowedAutoDropState:
    """Samples the parameters and ends the window, where it is time."""
    hyper = state.hyperparams
    state = state._replace(step=state.step + 1)
    sampled = state.step % hyper.sample_every == 0
    over = sampled & (state.step >= hyper.window_steps)
    state = once(sampled, lambda state: _add_sample(state, params), state)
    return once(over, _finish_window, state)


def _add_sample(
    state: WindowedAutoDropState, params: optax.Params
) -> WindowedAutoDropState:
    """Takes the parameters into the mean of the present window."""
    samples = state.num_samples + 1
    first = samples == 1

    def add(mean: jax.Array, x: jax.Array) -> jax.Array:
        x = widen(x)
        later = mean + (x - mean) * (1 / samples.astype(mean.dtype))
        # Selected: what a window before it left here is gone. What is not finite makes
        # all of the window so, without NaN, which would stop `jax_debug_nans`.
        mean = jnp.where(first, x, later)
        return jnp.where(jnp.isnan(mean), jnp.inf, mean)

    mean = map_inexact(add, state.running_mean, params)
    return state._replace(num_samples=samples, running_mean=mean)


def _finish_window(state: WindowedAutoDropState) -> WindowedAutoDropState:
    """The end of a window: measures, decides, drops.

    Without an angle (a step is zero, the mean is not finite, or there are not three
    means yet) the window counts and decides nothing, and the buffer and the smoothed
    angle stay as they are. A mean that is not finite is forgotten: the next step
    leads from the last finite one.
    """
    hyper = state.hyperparams
    turn, mean, y, s = move_anchor(
        state.running_mean, state.previous_mean, state.previous_step
    )

    # The first mean is no step from anywhere; an angle takes two steps.
    angle = jnp.where(state.num_means < 2, jnp.inf, turn.angle)
    informed = jnp.isfinite(angle)
    newest = jnp.concatenate([state.angles[1:], angle[None]])
    angles = jnp.where(informed, newest, state.angles)
    smoothed = jnp.where(
        informed, smooth(angles, hyper.smooth_by_value), state.smoothed_angle
    )
    # Infinite without an angle, and above any threshold: no information, no decision.
    before = state.smoothed_angle
    comparable = informed & jnp.isfinite(smoothed) & jnp.isfinite(before)
    rise = jnp.where(comparable, smoothed, 0) - jnp.where(comparable, before, 0)
    change = jnp.where(comparable, rise, jnp.inf)
    drop = jnp.where(hyper.two_sided, jnp.abs(change), change) < hyper.threshold

    floor = hyper.min_learning_rate / hyper.initial_learning_rate
    scale = drop_scale(state.rate_scale, hyper.drop_factor, floor)
    windows = jnp.asarray(optax.safe_increment(state.windows))
    return WindowedAutoDropState(
        step=jnp.zeros_like(state.step),
        num_samples=jnp.zeros_like(state.num_samples),
        windows=windows,
        rate_scale=jnp.where(drop, scale, state.rate_scale),
        angle=angle,
        angles=jnp.where(drop, jnp.inf, angles),
        smoothed_angle=jnp.where(drop, jnp.inf, smoothed),
        smoothed_change=change,
        num_drops=count_if(drop, state.num_drops),
        last_drop_window=jnp.where(drop, windows, state.last_drop_window),
        step_norm=jnp.where(state.num_means < 1, 0.0, turn.norm),
        num_means=count_if(turn.finite, state.num_means),
        running_mean=mean,
        previous_mean=y,
        previous_step=s,
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
      Degrees, scalar; infinite if one of the angles is.
    """
    there = jnp.all(jnp.isfinite(angles))
    angles = jnp.where(there, angles, 0)
    # The newest angle has the weight 1 at any width, zero too.
    width = jnp.maximum(jnp.std(angles), jnp.finfo(angles.dtype).tiny)
    width = jnp.minimum(width, angles.size / 2)
    age = jnp.arange(angles.size - 1, -1, -1, dtype=angles.dtype)
    distance = jnp.where(by_value, angles - angles[-1], age)
    weights = jnp.exp(-0.5 * (distance / width) ** 2)
    smoothed = jnp.sum(weights * angles) / jnp.sum(weights)
    return jnp.where(there, smoothed, jnp.inf)
