"""The states of AutoDrop within the state of an optimizer."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import jax
import optax

from autodrop_optax._autodrop import AutoDropState
from autodrop_optax._epoch_autodrop import EpochAutoDropState
from autodrop_optax._params import jump_error
from autodrop_optax._trees import is_inexact
from autodrop_optax._windowed_autodrop import WindowedAutoDropState

# The methods. Of a state nothing is used here but `metrics()`, a dictionary of scalars,
# and `covered`, a tree shaped like the parameters with a MaskedNode where it covers
# nothing. A new method is a file of its own and a name here.
State = AutoDropState | EpochAutoDropState | WindowedAutoDropState
KINDS: tuple[type[State], ...] = get_args(State)

# The states of optimizers whose updates are jumps to a point, and which of their fields
# is like the parameters. Not every version of optax has them all.
_JUMP_TREES = {
    getattr(optax.contrib, name): field
    for name, field in {
        "COCOBState": "init_particles",
        "MadgradState": "x0",
        "MechanicState": "x0",
        "SAMState": "cache",
        "ScheduleFreeState": "z",
    }.items()
    if hasattr(optax.contrib, name)
}
# Lookahead keeps no such tree: its parameters have a type of their own.
JUMPER_STATES = (optax.LookaheadState, *_JUMP_TREES)


def is_state(node: Any) -> bool:
    """Whether ``node`` is the state of an AutoDrop, whichever method's."""
    return isinstance(node, KINDS)


def find_states(
    opt_state: optax.OptState, other: Any = None, call: str = ""
) -> list[tuple[Any, State]]:
    """Returns every state of AutoDrop with its path.

    Args:
      opt_state: the state of an optimizer.
      other: what else the user gave: if the states are there, the two are swapped.
      call: how to write the call.

    Raises:
      ValueError: there is none.
    """
    found = nodes(opt_state, KINDS)
    if not found:
        raise ValueError(_why_there_is_none(opt_state, other, call))
    return found


def nodes(tree: Any, kinds: Any) -> list[tuple[Any, Any]]:
    """The nodes of these types with their paths."""
    leaves = jax.tree.leaves_with_path(tree, is_leaf=lambda x: isinstance(x, kinds))
    return [(path, node) for path, node in leaves if isinstance(node, kinds)]


def _why_there_is_none(opt_state: Any, other: Any, call: str) -> str:
    if nodes(other, KINDS):
        return f"The arguments are swapped: call {call}."
    if isinstance(opt_state, optax.GradientTransformation):
        return (
            "This is the optimizer and not its state, which is what"
            " optimizer.init(params) returns and update gives back."
        )

    def is_plain(node: Any) -> bool:
        fields = set(node) if isinstance(node, Mapping) else set()
        return any(set(kind._fields) <= fields for kind in KINDS)

    if any(map(is_plain, jax.tree.leaves(opt_state, is_leaf=is_plain))):
        return (
            "opt_state holds a state of AutoDrop as a plain dictionary, as a checkpoint"
            " is read without a target. Restore it with one: with Orbax,"
            " checkpointer.restore(path, target), where target has the structure of"
            " optimizer.init(params)."
        )
    return (
        "opt_state holds no state of AutoDrop. It must come from an optimizer with a"
        " link of AutoDrop, as optax.chain(optimizer, autodrop()). If it is of a run so"
        " far without, put the state of the new link beside it: (opt_state,"
        f" autodrop().init(params)). Got {jax.tree.structure(opt_state)!s:.200}."
    )


def opt_state_of(holder: Any, kind: str, calls: str) -> Any:
    """Returns the optimizer's state of a ``TrainState`` or an ``nnx.Optimizer``.

    Raises:
      TypeError: ``holder`` is none of these.
    """
    if not hasattr(holder, "opt_state"):
        raise TypeError(
            f"{kind} is needed, got a {type(holder).__name__}. Call {calls}. For the"
            " state of an optax optimizer take the functions of autodrop_optax itself."
        )
    return holder.opt_state


def _paths(tree: optax.Params | None) -> set[Any]:
    """The paths of the leaves that a tree like the parameters covers."""
    return {path for path, x in jax.tree.leaves_with_path(tree) if is_inexact(x)}


def check_layout(opt_state: optax.OptState, found: Sequence[tuple[Any, State]]) -> None:
    """Checks the states of one optimizer against each other.

    Raises:
      ValueError: two of a kind cover the same parameters, or one scales the jumps of
        another optimizer over the same parameters.
    """
    seen = set()
    for _, state in found:
        covered = {(type(state), path) for path in _paths(state.covered)}
        if twice := covered & seen:
            place = min(jax.tree_util.keystr(path) for _, path in twice)
            raise ValueError(
                f"Two states of AutoDrop cover the parameters at {place or 'the root'}:"
                " each would drop the rate and average on its own. Keep one per"
                " parameter."
            )
        seen |= covered
    for path, jumper in nodes(opt_state, tuple(_JUMP_TREES)):
        jumped = _paths(getattr(jumper, _JUMP_TREES[type(jumper)]))
        for state_path, state in found:
            inside = state_path[: len(path)] == path
            if not inside and jumped & _paths(state.covered):
                raise jump_error(f"AutoDrop stands beside a {type(jumper).__name__}")
