"""AutoDrop around an optimizer."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from autodrop_optax._algorithm import (
    EpochAutoDropState,
    adopt_settings,
    finish_epoch,
    init_state,
)
from autodrop_optax._checks import check_count
from autodrop_optax._once import once
from autodrop_optax._placement import store
from autodrop_optax._settings import (
    Anchor,
    MemoryKind,
    Retrigger,
    Settings,
)
from autodrop_optax._states import JUMPER_STATES
from autodrop_optax._trees import (
    check_match,
    inexact_leaves,
    replace_inexact,
    round_to,
    step_between,
    wide_dtype,
    widen,
)
from autodrop_optax._updates import counted_steps, require_params, scale_updates
from autodrop_optax._windowed_algorithm import WindowedAutoDropState


def with_epoch_autodrop(
    optimizer: optax.GradientTransformation | optax.MultiSteps,
    learning_rate: chex.Numeric,
    steps_per_epoch: int,
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
) -> optax.GradientTransformationExtraArgs:
    """Wraps an optimizer so that AutoDrop runs with nothing else to call.

    It does what :func:`epoch_autodrop` does behind ``optimizer`` with an
    :func:`end_epoch`
    after every ``steps_per_epoch`` updates. Where parameters are averaged, the update
    is the jump to their average; so this must be the outermost transformation.

    Do not wrap an optimizer whose updates are jumps to a point (``optax.lookahead``,
    ``schedule_free``, ``sam``, ``mechanize``, ``madgrad`` and ``cocob`` of
    ``optax.contrib``): scaling a jump misses its
    point. Wrap their base optimizer, with ``averaging=False``.

    Args:
      optimizer: the optimizer, with its learning rate and any schedule.
      learning_rate: the rate that ``optimizer`` uses, a number [alpha_0].
      steps_per_epoch: optimizer steps per epoch. An update that ``optax.MultiSteps``
        only accumulates or ``optax.apply_if_finite`` rejects is none, whether these
        are inside or around.
      drop_factor: see :func:`epoch_autodrop`, as for all below.
      min_learning_rate: as there.
      threshold: as there, degrees per epoch.
      max_threshold: as there, degrees per epoch.
      drop_delay: as there, epochs.
      averaging: as there.
      window: as there, epochs.
      retrigger: as there.
      anchor: as there.
      state_dtype: as there.
      state_memory_kind: as there.

    Returns:
      An :class:`optax.GradientTransformationExtraArgs`. Its state is the pair of the
      optimizer's state and an :class:`EpochAutoDropState`; ``update`` needs ``params``.

    Raises:
      ValueError: as :func:`epoch_autodrop`; or ``optimizer`` is no transformation; or,
      found
        in ``init``, one that jumps or holds :func:`windowed_autodrop`.

    Example:
      >>> import optax
      >>> from autodrop_optax import with_epoch_autodrop
      >>> optimizer = with_epoch_autodrop(
      ...     optax.adamw(1e-3), learning_rate=1e-3, steps_per_epoch=391
      ... )
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
    check_count("steps_per_epoch", steps_per_epoch)
    if isinstance(optimizer, optax.MultiSteps):
        # Its own gradient_transformation() would take no extra arguments.
        update: Any = optimizer.update
        optimizer = optax.GradientTransformationExtraArgs(optimizer.init, update)
    if not isinstance(optimizer, optax.GradientTransformation):
        raise ValueError(
            "optimizer must be an optax.GradientTransformation, as optax.sgd(0.1) is,"
            f" got {optimizer!r}."
        )
    optimizer = optax.with_extra_args_support(optimizer)

    def init_fn(params) -> Any:
        inner_state = optimizer.init(params)
        _check_wrappable(inner_state)
        return inner_state, init_state(settings, params, counting=True)

    def update_fn(updates, state, params=None, **extra_args) -> Any:
        params = require_params(params, "with_epoch_autodrop")
        before, state = state
        updates, inner_state = optimizer.update(updates, before, params, **extra_args)
        state = adopt_settings(settings, state, counting=True)
        updates = scale_updates(updates, state.rate_scale)
        steps = counted_steps(state) + _took_step(before, inner_state)
        state, updates = _finish_epoch_after_if(
            steps >= steps_per_epoch, state._replace(step=steps), params, updates
        )
        return updates, (inner_state, state)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


@jax.jit
def _finish_epoch_after_if(
    condition: jax.Array,
    state: EpochAutoDropState,
    params: optax.Params,
    updates: optax.Updates,
) -> tuple[EpochAutoDropState, optax.Updates]:
    """For the wrapper: ends the epoch that ``updates`` complete, averaging in them."""
    check_match(params, state.anchor, "params", "those given to init")
    check_match(updates, params, "updates", "params")

    def finish(operand):
        state, updates = operand
        x = inexact_leaves(params)
        u = inexact_leaves(updates)
        after = replace_inexact(params, _add(x, u))
        state, after = finish_epoch(state, after)

        def jump(u):
            triples = zip(inexact_leaves(after), x, u, strict=True)
            return [step_between(a, b).astype(v.dtype) for a, b, v in triples]

        u = once(state.averaged, jump, u)
        # The user adds the update, which rounds: measure from where that ends.
        rebase = state.averaged & ~state.hyperparams.anchor_before_averaging
        y = inexact_leaves(state.anchor)
        y = once(rebase, lambda y: store(_add(x, u), y), y)
        state = state._replace(anchor=replace_inexact(state.anchor, y))
        return state, replace_inexact(updates, u)

    state, updates = once(condition, finish, (state, updates))
    # Never so, but XLA cannot know: the updates have to wait for the loop. Else it
    # would add them to the parameters ahead of it, and keep a copy of those for it.
    early = counted_steps(state) < 0
    u = [jnp.where(early, jnp.zeros_like(v), v) for v in inexact_leaves(updates)]
    return state, replace_inexact(updates, u)


def _add(x: list[jax.Array], u: list[jax.Array]) -> list[jax.Array]:
    """The parameters that the user gets, rounded as optax rounds them."""
    sums = jax.tree.leaves(optax.apply_updates(x, u))
    # Narrow ones are rounded for certain: XLA would keep the sum as it was before
    # rounding, and parameters that the user sees at rest would seem to move.
    return [
        round_to(widen(p) + widen(v), p.dtype) if p.dtype != wide_dtype(p.dtype) else s
        for p, v, s in zip(x, u, sums, strict=True)
    ]


def _took_step(before: optax.OptState, after: optax.OptState) -> jax.Array:
    """Returns 1 if an update was a step of the optimizer, else 0, int32 scalar.

    ``MultiSteps`` may only have added to its gradients; ``apply_if_finite`` may have
    rejected what it was given. A step of one group under ``partition`` is enough. What
    ``apply_if_finite`` lets through when it gives up cannot be seen and counts as none.
    """
    kinds = optax.MultiStepsState, optax.ApplyIfFiniteState, optax.PartitionState

    def nodes(state: optax.OptState) -> list:
        leaves = jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, kinds))
        return [x for x in leaves if isinstance(x, kinds)]

    took = jnp.ones((), jnp.int32)
    for old, new in zip(nodes(before), nodes(after), strict=True):
        if isinstance(new, optax.PartitionState):
            groups = [
                _took_step(old.inner_states[name], new.inner_states[name])
                for name in new.inner_states
            ]
            took_here = functools.reduce(jnp.maximum, groups)
        elif isinstance(new, optax.MultiStepsState):
            inner = _took_step(old.inner_opt_state, new.inner_opt_state)
            took_here = jnp.where(new.gradient_step != old.gradient_step, inner, 0)
        else:
            inner = _took_step(old.inner_state, new.inner_state)
            took_here = jnp.where(new.last_finite, inner, 0)
        took = jnp.minimum(took, took_here)
    return took


def _check_wrappable(inner_state: optax.OptState) -> None:
    autodrops = (EpochAutoDropState, WindowedAutoDropState)
    kinds = (*autodrops, *JUMPER_STATES)
    nodes = jax.tree.leaves(inner_state, is_leaf=lambda x: isinstance(x, kinds))
    for node in nodes:
        if isinstance(node, autodrops):
            raise ValueError(
                f"with_epoch_autodrop around an optimizer with a {type(node).__name__}:"
                " each would drop the rate on its own. Keep one of the two."
            )
        if isinstance(node, JUMPER_STATES):
            raise ValueError(
                f"with_epoch_autodrop around an optimizer with a"
                f" {type(node).__name__}, whose"
                " updates are jumps to a point: scaled, they would miss it. Put"
                " with_epoch_autodrop(base, ..., averaging=False) inside, around the"
                " base"
                " optimizer, if it has one."
            )
