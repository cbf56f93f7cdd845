"""Where the states of AutoDrop are in the state of an optimizer."""

from collections.abc import Mapping
from typing import Any

import jax
import optax

from autodrop_optax._algorithm import AutoDropState
from autodrop_optax._trees import is_inexact

# What an optimizer whose updates are jumps to a point keeps in its state.
JUMPER_STATES = (
    optax.LookaheadState,
    optax.contrib.SAMState,
    optax.contrib.ScheduleFreeState,
)


def is_state(node: Any) -> bool:
    """Whether ``node`` is the state of an AutoDrop."""
    return isinstance(node, AutoDropState)


def _is_plain_state(node: Any) -> bool:
    return isinstance(node, Mapping) and set(AutoDropState._fields) <= set(node)


def find_states(opt_state: optax.OptState) -> list[tuple[Any, AutoDropState]]:
    """Returns every state of AutoDrop with its path.

    Raises:
      ValueError: there is none; two cover the same parameters; or one scales the jumps
        of another optimizer over the same parameters.
    """
    leaves = jax.tree.leaves_with_path(opt_state, is_leaf=is_state)
    found = [(path, node) for path, node in leaves if is_state(node)]
    if not found:
        leaves = jax.tree.leaves(opt_state, is_leaf=_is_plain_state)
        if any(map(_is_plain_state, leaves)):
            raise ValueError(
                "opt_state holds a state of AutoDrop as a plain dictionary, as a"
                " checkpoint is read without a target. Restore it with one: with Orbax,"
                " checkpointer.restore(path, target), where target has the structure of"
                " optimizer.init(params)."
            )
        raise ValueError(
            "opt_state holds no state of AutoDrop. It must come from an optimizer built"
            " with autodrop(...) or with_autodrop(...); got"
            f" {jax.tree.structure(opt_state)}."
        )
    _check_one_per_parameter([state for _, state in found])
    _check_no_jump_is_scaled(opt_state, found)
    return found


def _covered(tree: optax.Params | None) -> set[Any]:
    """The paths of the leaves that a tree like the parameters covers."""
    return {path for path, x in jax.tree.leaves_with_path(tree) if is_inexact(x)}


def _check_one_per_parameter(states: list[AutoDropState]) -> None:
    taken = set()
    for state in states:
        covered = _covered(state.anchor)
        for path in sorted(covered & taken, key=jax.tree_util.keystr):
            raise ValueError(
                "Two states of AutoDrop cover the parameters at"
                f" {jax.tree_util.keystr(path) or 'the root'}: each would drop the rate"
                " and average on its own. Keep one autodrop(...) per parameter."
            )
        taken |= covered


def _check_no_jump_is_scaled(opt_state: optax.OptState, found) -> None:
    def is_jumper(node: Any) -> bool:
        return isinstance(node, JUMPER_STATES)

    for path, node in jax.tree.leaves_with_path(opt_state, is_leaf=is_jumper):
        # The trees by which to know whose jumps these are. Lookahead keeps none: its
        # parameters have a type of their own, which `init` refuses.
        if isinstance(node, optax.contrib.ScheduleFreeState):
            jumped = _covered(node.z)
        elif isinstance(node, optax.contrib.SAMState):
            jumped = _covered(node.cache)
        else:
            continue
        for state_path, state in found:
            inside = state_path[: len(path)] == path
            if not inside and jumped & _covered(state.anchor):
                raise ValueError(
                    f"AutoDrop stands beside a {type(node).__name__}, whose updates are"
                    " jumps to a point: scaled, they miss it. Put"
                    " with_autodrop(base, ..., averaging=False) inside, around the"
                    " base optimizer."
                )
