"""Algorithm 1 with nothing to call, around an optimizer; and the end of an epoch.

Both leave the algorithm to the link, ``_epoch_autodrop.py``. They are what may move
parameters, which a link cannot.
"""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from autodrop_optax._checks import check_arguments, check_fits
from autodrop_optax._epoch_autodrop import (
    AnchorChoice,
    EpochAutoDropState,
    Retrigger,
    counted_steps,
    epoch_autodrop,
    finish_epoch,
)
from autodrop_optax._link import require_params
from autodrop_optax._once import once
from autodrop_optax._params import (
    check_match,
    is_abstract,
    jump_error,
    merge_covered,
    select_covered,
)
from autodrop_optax._placement import MemoryKind, store
from autodrop_optax._states import (
    JUMPER_STATES,
    KINDS,
    check_layout,
    find_states,
    is_state,
    nodes,
)
from autodrop_optax._trees import (
    inexact_leaves,
    replace_inexact,
    round_to,
    step_between,
    wide_dtype,
    widen,
)


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
    anchor: AnchorChoice = "after_averaging",
    state_dtype: jax.typing.DTypeLike | None = None,
    state_memory_kind: MemoryKind = "device",
) -> optax.GradientTransformationExtraArgs:
    """Wraps an optimizer so that Algorithm 1 runs with nothing else to call.

    It does what :func:`epoch_autodrop` does behind ``optimizer`` with an
    :func:`end_epoch` after every ``steps_per_epoch`` updates. Where parameters are
    averaged, the update is the jump to their average; so this must be the outermost
    transformation. Do not wrap an optimizer whose own updates are jumps to a point, as
    listed there: wrap its base optimizer, with ``averaging=False``.

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
        found in ``init``, one that jumps or holds AutoDrop itself.

    Example:
      >>> import optax
      >>> from autodrop_optax import with_epoch_autodrop
      >>> optimizer = with_epoch_autodrop(
      ...     optax.adamw(1e-3), learning_rate=1e-3, steps_per_epoch=391
      ... )
    """
    options = dict(locals())
    del options["optimizer"], options["steps_per_epoch"]
    link = epoch_autodrop(**options)
    check_arguments(steps_per_epoch=steps_per_epoch)
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
        if is_abstract(params):
            return jax.eval_shape(init_fn, params)
        inner_state = optimizer.init(params)
        _check_wrappable(inner_state)
        state: Any = link.init(params)
        return inner_state, state._replace(step=jnp.zeros_like(state.epoch))

    def update_fn(updates, state, params=None, **extra_args) -> Any:
        params = require_params(params, "with_epoch_autodrop")
        before, state = state
        check_fits("steps_per_epoch given", True, state.step is not None)
        updates, inner_state = optimizer.update(updates, before, params, **extra_args)
        steps = counted_steps(state) + _took_step(before, inner_state)
        adopted: Any
        updates, adopted = link.update(updates, state._replace(step=None))
        state, updates = _finish_epoch_after_if(
            steps >= steps_per_epoch, adopted._replace(step=steps), params, updates
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
    # For integers optax's updates may be of any dtype.
    check_match(updates, params, "updates", "params", integers=False)
    x = inexact_leaves(params)

    def finish(operand):
        state, u = operand
        state, after = finish_epoch(state, replace_inexact(params, _add(x, u)))

        def jump(u):
            triples = zip(inexact_leaves(after), x, u, strict=True)
            return [step_between(a, b).astype(v.dtype) for a, b, v in triples]

        u = once(state.averaged, jump, u)
        # The user adds the update, which rounds: measure from where that ends.
        rebase = state.averaged & ~state.hyperparams.anchor_before_averaging
        y = once(
            rebase,
            lambda y: store(replace_inexact(y, _add(x, u)), y),
            state.anchor,
        )
        return state._replace(anchor=y), u

    state, u = once(condition, finish, (state, inexact_leaves(updates, params)))
    # Never so, but XLA cannot know: the updates have to wait for the loop. Else it
    # would add them to the parameters ahead of it, and keep a copy of those for it.
    early = counted_steps(state) < 0
    u = [jnp.where(early, jnp.zeros_like(v), v) for v in u]
    return state, replace_inexact(updates, u, params)


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

    took = jnp.ones((), jnp.int32)
    pairs = zip(nodes(before, kinds), nodes(after, kinds), strict=True)
    for (_, old), (_, new) in pairs:
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
    for _, node in nodes(inner_state, (*KINDS, *JUMPER_STATES)):
        name = type(node).__name__
        if isinstance(node, KINDS):
            raise ValueError(
                f"with_epoch_autodrop around an optimizer with a {name}: each would"
                " drop the rate on its own. Keep one of the two."
            )
        raise jump_error(f"with_epoch_autodrop is around a {name}")


def end_epoch(
    params: optax.Params, opt_state: optax.OptState
) -> tuple[optax.Params, optax.OptState]:
    """Ends an epoch: measures the angle, decides, averages where that is due.

    For :func:`epoch_autodrop` without ``steps_per_epoch``. It acts on every such state
    in ``opt_state`` (one for each group under ``optax.partition``), each on the
    parameters it covers, and leaves those of other methods alone. It runs under
    ``jax.jit`` and ``lax.scan``; ``jax.jit(end_epoch, donate_argnums=(0, 1))`` works in
    place.

    Args:
      params: the parameters at the end of the epoch.
      opt_state: the state of an optimizer that contains :func:`epoch_autodrop`.

    Returns:
      The parameters, which are their average after a drop with averaging and else
      unchanged, and the new state.

    Raises:
      ValueError: ``opt_state`` has no state of :func:`epoch_autodrop`, one that counts
        for itself, two that cover the same parameters, one that scales the jumps of
        another optimizer, or one made for other parameters.
    """
    if isinstance(params, optax.LookaheadParams):
        raise jump_error("end_epoch got LookaheadParams, those of optax.lookahead")
    found = find_states(opt_state, params, "end_epoch(params, opt_state)")
    states = [state for _, state in found if isinstance(state, EpochAutoDropState)]
    if not states:
        raise ValueError(
            f"end_epoch on {type(found[0][1]).__name__}: its method knows no epochs and"
            " counts for itself, in update. Leave end_epoch out."
        )
    check_layout(opt_state, found)
    if any(state.step is not None for state in states):
        raise ValueError(
            "end_epoch on a state that counts its epochs itself would end each of"
            " them twice. Leave end_epoch out, or build the optimizer with"
            " epoch_autodrop(...) without steps_per_epoch."
        )

    def end(node: Any) -> Any:
        nonlocal params
        if not isinstance(node, EpochAutoDropState):
            return node
        state, covered = _finish_epoch(node, select_covered(node.anchor, params))
        params = merge_covered(covered, params)
        return state

    opt_state = jax.tree.map(end, opt_state, is_leaf=is_state)
    return params, opt_state


# For those who do not jit: a loop outside of jit is compiled at every call.
_finish_epoch = jax.jit(finish_epoch)
