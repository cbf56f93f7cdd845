"""The norms of gradients that a link has recorded, and how to read them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.core import Tracer


class GradientNormsState(NamedTuple):
    """State of :func:`autodrop_optax.record_gradient_norms`."""

    step: jax.Array  # shape (), int32: calls of update so far
    every: jax.Array  # shape (), int32: steps from one recorded norm to the next
    norms: jax.Array  # shape (buffer_size,), float32, NaN where none is yet: of the
    #                   steps 0, every, 2 every, ...


def recorded_gradient_norms(opt_state: optax.OptState) -> np.ndarray:
    """Returns the norms that a link has recorded so far.

    They are evenly spaced over the run: of every step, or, of a run longer than the
    buffer, of every second, fourth, ... step. Give
    :func:`autodrop_optax.refine_schedule` the number of steps then.

    Args:
      opt_state: the state of an optimizer that contains one
        :func:`autodrop_optax.record_gradient_norms`, wherever it stands.

    Returns:
      Shape ``(norms,)``, float32; NaN and infinities are as they came. For a state of
      several runs, stacked by ``jax.vmap``, of shape ``(..., norms)``.

    Raises:
      ValueError: there is no such state, or more than one, it is being traced, or the
        stacked runs have not made the same number of steps.
    """
    nodes = jax.tree.leaves(opt_state, is_leaf=_is_state)
    found = [node for node in nodes if isinstance(node, GradientNormsState)]
    if len(found) != 1:
        if any(isinstance(node, Mapping) for node in nodes):
            raise ValueError(
                "opt_state holds a state of record_gradient_norms as a plain"
                " dictionary, as a checkpoint is read without a target. Restore it with"
                " one that has the structure of optimizer.init(params)."
            )
        raise ValueError(
            "opt_state must hold the state of one record_gradient_norms(...), found"
            f" {len(found)}. Put the link into the chain; where there are several, pass"
            " the part of the state that is meant; restore a checkpoint with a target"
            " that has the structure of optimizer.init(params)."
        )
    if any(isinstance(x, Tracer) for x in found[0]):
        raise ValueError(
            "opt_state is being traced: the recorded norms are read between two runs,"
            " outside of jax.jit."
        )
    step, every, norms = jax.device_get(found[0])
    if not (np.all(step == step.flat[0]) and np.all(every == every.flat[0])):
        raise ValueError(
            "The stacked runs have not made the same number of steps: read each by"
            " itself, jax.tree.map(lambda x: x[i], opt_state)."
        )
    count = -(-int(step.flat[0]) // int(every.flat[0]))
    return norms[..., :count]


def _is_state(node: Any) -> bool:
    return isinstance(node, GradientNormsState) or (
        isinstance(node, Mapping) and set(GradientNormsState._fields) <= set(node)
    )
