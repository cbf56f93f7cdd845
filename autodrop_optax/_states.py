"""Where the states of AutoDrop are in the state of an optimizer."""

from typing import Any

import jax
import optax

from autodrop_optax._algorithm import AutoDropState
from autodrop_optax._windowed_algorithm import WindowedAutoDropState

State = AutoDropState | WindowedAutoDropState


def is_state(node: Any) -> bool:
    return isinstance(node, State)


def find_states(opt_state: optax.OptState) -> list[tuple[Any, State]]:
    leaves = jax.tree.leaves_with_path(opt_state, is_leaf=is_state)
    found = [(path, node) for path, node in leaves if is_state(node)]
    if not found:
        raise ValueError(
            "opt_state holds no state of AutoDrop. It must come from an optimizer built"
            " with autodrop(...), with_autodrop(...) or windowed_autodrop(...); got"
            f" {jax.tree.structure(opt_state)}."
        )
    return found
