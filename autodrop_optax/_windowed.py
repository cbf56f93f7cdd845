"""The AutoDrop of windows of iterations, as a link of a chain."""

from typing import Any

import chex
import jax
import optax

from autodrop_optax._once import once
from autodrop_optax._trees import check_match
from autodrop_optax._updates import require_params, scale_updates
from autodrop_optax._windowed_algorithm import (
    WindowedAutoDropState,
    add_sample,
    adopt_settings,
    finish_window,
    init_state,
)
from autodrop_optax._windowed_settings import Smoothing, WindowedSettings


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

    The second method published as AutoDrop. It knows no epochs: the parameters are
    averaged over windows of ``window_steps`` iterations, ``y_i``; the angular velocity
    ``w_i`` is the angle between ``y_i - y_{i-1}`` and ``y_{i-1} - y_{i-2}``. The angles
    since the last drop are smoothed; where the smoothed angle no longer rises by
    ``threshold`` from one window to the next, the rate is multiplied by
    ``drop_factor``. A drop comes ``buffer_size + 1`` angles after the last at the
    earliest. In practice it comes soon after: the course of the rate is close to an
    exponential decay whose speed ``window_steps`` sets. Choose that for the length of
    the run: with T steps in all the rate falls to about
    ``drop_factor ** (T / (12 * window_steps))`` of the first.

    A link for :func:`optax.chain` that counts for itself and only scales updates, by
    ``alpha / alpha_0``; so it may stand in every position, as :func:`epoch_autodrop`
    may.
    There is nothing to call. ``update`` needs ``params``: it samples those it is given
    and scales its updates by the rate that they lead to. The state holds three copies
    of the parameters, in 32 bits at least: the mean of the present window and of the
    one before, and the step before that.

    Do not scale an optimizer whose updates are jumps to a point (``optax.lookahead``,
    ``schedule_free``, ``sam``, ``mechanize``, ``madgrad`` and ``cocob`` of
    ``optax.contrib``, :func:`with_epoch_autodrop`): put this
    link inside, with its base optimizer.

    A window with parameters that are not finite, or a zero step, gives no angle and
    decides nothing; the next step leads from the last finite mean.

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
      min_learning_rate: drops take the rate no lower [alpha_min].
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
      :class:`WindowedAutoDropState`. ``update`` puts the constructor's numbers into the
      state, so :func:`optax.inject_hyperparams` works (name ``buffer_size``,
      ``smoothing`` and ``two_sided`` in its ``static_args``), and so does ``jax.vmap``
      over them. Where ``window_steps`` and ``sample_every`` are arrays, a window ends
      with the first sample after ``window_steps`` iterations.

    Raises:
      ValueError: a hyperparameter is out of its range, ``learning_rate`` is a schedule,
        or ``sample_every`` does not divide ``window_steps``. In ``init``: no leaf is of
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
    settings = WindowedSettings(
        learning_rate=learning_rate,
        window_steps=window_steps,
        drop_factor=drop_factor,
        buffer_size=buffer_size,
        threshold=threshold,
        min_learning_rate=min_learning_rate,
        smoothing=smoothing,
        two_sided=two_sided,
        sample_every=sample_every,
    )

    def init_fn(params) -> Any:
        return init_state(settings, params)

    def update_fn(updates, state, params=None, **extra_args) -> Any:
        del extra_args
        state = adopt_settings(settings, state)
        params = require_params(params, "windowed_autodrop")
        state = _observe(state, params)
        return scale_updates(updates, state.rate_scale), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


@jax.jit  # for those who do not jit: a loop outside of jit is compiled at every call
def _observe(
    state: WindowedAutoDropState, params: optax.Params
) -> WindowedAutoDropState:
    """One step: samples the parameters and ends the window, where it is time."""
    check_match(params, state.running_mean, "params", "those given to init")
    params = jax.lax.stop_gradient(params)
    hyper = state.hyperparams
    state = state._replace(step=state.step + 1)
    sampled = state.step % hyper.sample_every == 0
    over = sampled & (state.step >= hyper.window_steps)
    state = once(sampled, lambda state: add_sample(state, params), state)
    return once(over, finish_window, state)
