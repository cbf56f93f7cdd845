"""The end of an epoch for links that do not count."""

from typing import Any

import jax
import optax

from autodrop_optax._algorithm import EpochAutoDropState, finish_epoch
from autodrop_optax._states import check_layout, find_states, is_state
from autodrop_optax._trees import merge_covered, select_covered


def end_epoch(
    params: optax.Params, opt_state: optax.OptState
) -> tuple[optax.Params, optax.OptState]:
    """Ends an epoch: measures the angle, decides, averages where that is due.

    For :func:`epoch_autodrop` without ``steps_per_epoch``. It acts on every such state
    in
    ``opt_state`` (one for each group under ``optax.partition``), each on the
    parameters it covers, and leaves those of :func:`windowed_autodrop` alone. It runs
    under ``jax.jit`` and ``lax.scan``; ``jax.jit(end_epoch, donate_argnums=(0, 1))``
    works in place.

    Args:
      params: the parameters at the end of the epoch.
      opt_state: the state of an optimizer that contains :func:`epoch_autodrop`.

    Returns:
      The parameters, which are their average after a drop with averaging and else
      unchanged, and the new state.

    Raises:
      ValueError: ``opt_state`` has no state of AutoDrop, only such as know no epochs
        (of :func:`windowed_autodrop`), one that counts for itself, two that cover the
        same parameters, one that scales the jumps of another optimizer, or one made for
        other parameters.
      TypeError: ``params`` are ``optax.LookaheadParams``.
    """
    if isinstance(params, optax.LookaheadParams):
        raise TypeError(
            "end_epoch got optax.LookaheadParams, whose slow and fast parameters move"
            " by different rules. Put with_epoch_autodrop(..., averaging=False)"
            " inside of"
            " optax.lookahead, as its fast optimizer."
        )
    found = find_states(opt_state)
    states = [state for _, state in found if isinstance(state, EpochAutoDropState)]
    if not states:
        raise ValueError(
            "end_epoch on a state of windowed_autodrop, which knows no epochs: it"
            " counts its windows itself, in update. Leave end_epoch out."
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
        state, covered = _finish_epoch_jit(node, select_covered(node.anchor, params))
        params = merge_covered(covered, params)
        return state

    opt_state = jax.tree.map(end, opt_state, is_leaf=is_state)
    return params, opt_state


_finish_epoch_jit = jax.jit(finish_epoch)
