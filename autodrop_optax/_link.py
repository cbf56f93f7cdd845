"""AutoDrop as a link of a chain."""

from typing import Any

import chex
import jax
import optax

from autodrop_optax._algorithm import (
    EpochAutoDropState,
    adopt_settings,
    finish_epoch,
    init_state,
)
from autodrop_optax._checks import check_count
from autodrop_optax._once import once
from autodrop_optax._settings import (
    Anchor,
    MemoryKind,
    Retrigger,
    Settings,
)
from autodrop_optax._trees import check_match
from autodrop_optax._updates import counted_steps, require_params, scale_updates


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
    anchor: Anchor = "after_averaging",
    state_dtype: jax.typing.DTypeLike | None = None,
    state_memory_kind: MemoryKind = "device",
    steps_per_epoch: int | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Drops the learning rate where the angular velocity of the parameters saturates.

    A link for :func:`optax.chain` that multiplies updates by ``alpha / alpha_0``. The
    angular velocity is the angle between the steps of consecutive epochs (equations 1
    and 2). It rises while the optimizer makes headway at the present rate; once it has
    stopped changing the rate is multiplied by ``drop_factor`` (Algorithm 1).

    Call :func:`end_epoch` once per epoch. In between the link only scales, so it is
    exact in every position:

    * behind the optimizer, ``chain(sgd(0.1, momentum=0.9), epoch_autodrop(0.1))``, it
    does
      what setting the optimizer's learning rate by hand does. Right for every
      optimizer, and the only right place for Adam and its relatives, which cancel any
      scaling of their gradients;
    * in front of momentum SGD, ``chain(epoch_autodrop(0.1), sgd(0.1, momentum=0.9))``,
    the
      gradient is scaled before the momentum sums it: the heavy-ball method of the
      paper's analysis (equation 7, s = 0).

    Do not scale an optimizer whose updates are jumps to a point (``optax.lookahead``,
    ``schedule_free``, ``sam``, ``mechanize``, ``madgrad`` and ``cocob`` of
    ``optax.contrib``): put
    ``with_epoch_autodrop(base, ..., averaging=False)`` inside, around its base
    optimizer.

    With ``steps_per_epoch`` the link counts for itself: it measures at the first step
    of the next epoch and needs ``params`` in ``update``. A link cannot move
    parameters, so this goes without averaging.

    Args:
      learning_rate: the rate that the rest of the chain uses, a number [alpha_0]. A
        schedule stays in the chain and goes on working: AutoDrop only scales.
      drop_factor: what a drop multiplies the rate by, between 0 and 1 [rho].
      min_learning_rate: drops take the rate no lower [alpha_min].
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
      state_dtype: what ``init`` makes the state's copies of the parameters in: the
        anchor, the previous step and the average. By default the anchor has the
        parameters' dtypes and the others those, but float32 at least. In a narrower
        one the angle is that of the rounded parameters, and an averaging rounds the
        parameters. Complex leaves are left alone. float16 ends at 65504: parameters
        beyond give no information.
      state_memory_kind: where ``init`` puts them, ``"device"`` or ``"pinned_host"``,
        the host's memory. They are needed at the ends of epochs alone. On CPUs JAX
        before 0.10.2 leaves them in the device's memory.
      steps_per_epoch: calls of ``update`` per epoch, for a link that counts.

    Returns:
      An :class:`optax.GradientTransformationExtraArgs` with an
      :class:`EpochAutoDropState`. ``update`` puts the constructor's numbers into the
      state,
      so :func:`optax.inject_hyperparams` works (name ``window``, ``averaging``,
      ``retrigger``, ``anchor``, ``state_dtype``, ``state_memory_kind`` and
      ``steps_per_epoch`` in its ``static_args``), and so
      does ``jax.vmap`` over them. A ``threshold`` other than the one in the state
      replaces the present one.

    Raises:
      ValueError: a hyperparameter is out of its range, ``learning_rate`` is a
        schedule, or a link that counts is asked to average. In ``init``: no leaf is of
        floating point or complex dtype. In ``update``: the state was made with another
        ``window``, ``averaging`` or way of counting; ``params`` are needed and missing,
        or not those of ``init``.

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
    settings = Settings(
        learning_rate=learning_rate,
        drop_factor=drop_factor,
        min_learning_rate=min_learning_rate,
        threshold=threshold,
        max_threshold=max_threshold,
        drop_delay=drop_delay,
        averaging=averaging,
        window=window,
        retrigger=retrigger,
        anchor=anchor,
        state_dtype=state_dtype,
        state_memory_kind=state_memory_kind,
    )
    if steps_per_epoch is not None:
        check_count("steps_per_epoch", steps_per_epoch)
        if averaging:
            raise ValueError(
                "averaging=True with steps_per_epoch: a link cannot move the"
                " parameters. Pass averaging=False; or leave steps_per_epoch out and"
                " call end_epoch(params, opt_state) once per epoch; or use"
                " with_epoch_autodrop(optimizer, learning_rate, steps_per_epoch)."
            )

    def init_fn(params) -> Any:
        return init_state(settings, params, counting=steps_per_epoch is not None)

    def update_fn(updates, state, params=None, **extra_args) -> Any:
        del extra_args
        counting = steps_per_epoch is not None
        state = adopt_settings(settings, state, counting=counting)
        if steps_per_epoch is not None:
            params = require_params(params, "epoch_autodrop(..., steps_per_epoch=...)")
            # The step before this one may have ended an epoch with these parameters.
            over = counted_steps(state) >= steps_per_epoch
            state = _finish_epoch_if(over, state, params)
            state = state._replace(step=counted_steps(state) + 1)
        return scale_updates(updates, state.rate_scale), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


@jax.jit  # for those who do not jit: a loop outside of jit is compiled at every call
def _finish_epoch_if(
    condition: jax.Array, state: EpochAutoDropState, params: optax.Params
) -> EpochAutoDropState:
    """For a link: ends the epoch in the state; the parameters are only read."""
    check_match(params, state.anchor, "params", "those given to init")
    params = jax.lax.stop_gradient(params)
    return once(condition, lambda state: finish_epoch(state, params)[0], state)
