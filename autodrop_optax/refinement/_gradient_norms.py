"""The norms of a run's gradients, recorded and read: schedules are refined by them."""

import functools
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from autodrop_optax._checks import check_arguments, check_fits
from autodrop_optax._once import once
from autodrop_optax._params import is_abstract
from autodrop_optax._placement import scalars_on_mesh_of
from autodrop_optax._trees import inexact_leaves, widen

Norm = Literal["l1", "l2"]


class GradientNormsState(NamedTuple):
    """State of :func:`record_gradient_norms`."""

    step: jax.Array  # shape (), int32: calls of update so far
    every: jax.Array  # shape (), int32: steps from one recorded norm to the next
    norms: jax.Array  # shape (buffer_size,), float32, 0 where none is yet: of the
    #                   steps 0, every, 2 every, ...


def record_gradient_norms(
    norm: Norm = "l2", *, buffer_size: int = 4096
) -> optax.GradientTransformationExtraArgs:
    """Records the norm of the gradients in its state and leaves them as they are.

    A link for :func:`optax.chain`, to be put where the gradients come in, in front of
    everything that changes them: ``optax.chain(record_gradient_norms("l1"),
    optax.adam(1e-3))``. The norm is that of all leaves together; leaves that are not
    floating point or complex do not count, nor do masked ones.
    :func:`recorded_gradient_norms` reads what was recorded.

    The norms are evenly spaced over the run, whatever its length. At first each step's
    is recorded. When the buffer is full every second one is left out, and from there on
    every second step's is recorded; when it is full again, every fourth; and so on: at
    least half as many as the buffer takes. Norms not recorded are not computed.

    Args:
      norm: ``"l2"`` for SGD, ``"l1"``, the sum of the absolute values, for Adam and
        other optimizers that scale each coordinate.
      buffer_size: most norms to keep, an even number; 4 bytes each.

    Returns:
      An :class:`optax.GradientTransformationExtraArgs` with a
      :class:`GradientNormsState`. What is infinite or NaN is recorded as such. Norms
      are summed up in float32, in float64 over leaves of that; l2 norms by their
      squares, so that one beyond 1e19 is recorded as infinite and one under 1e-22 as 0.
      With sharded gradients only scalars are exchanged.

    Raises:
      ValueError: an argument is out of its range. In ``update``: the state was made
        with another ``buffer_size``.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from autodrop_optax.refinement import (
      ...     record_gradient_norms, recorded_gradient_norms, refine_schedule
      ... )
      >>> optimizer = optax.chain(record_gradient_norms(), optax.sgd(0.1))
      >>> params = jnp.array([3.0, 4.0])
      >>> state = optimizer.init(params)
      >>> for _ in range(4):
      ...     updates, state = optimizer.update(params, state)
      ...     params = optax.apply_updates(params, updates)
      >>> [round(float(norm), 3) for norm in recorded_gradient_norms(state)]
      [5.0, 4.5, 4.05, 3.645]
      >>> schedule = refine_schedule(recorded_gradient_norms(state))
    """
    check_arguments(norm=norm, buffer_size=buffer_size)
    if buffer_size % 2:
        raise ValueError(
            "buffer_size must be even, as every second norm is left out when it is"
            f" full, got {buffer_size}."
        )

    def init_fn(params) -> Any:
        if is_abstract(params):
            return jax.eval_shape(init_fn, params)
        state = GradientNormsState(
            step=jnp.zeros((), jnp.int32),
            every=jnp.ones((), jnp.int32),
            norms=jnp.zeros((buffer_size,), jnp.float32),
        )
        return scalars_on_mesh_of(params, state, trees=())

    def update_fn(updates, state, params=None, **extra_args) -> Any:
        del params, extra_args
        check_fits("buffer_size", buffer_size, state.norms.shape[-1])
        gradients = jax.lax.stop_gradient(inexact_leaves(updates))
        return updates, _record(norm, state, gradients)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


# For those who do not jit: a loop outside of jit is compiled at every call.
@functools.partial(jax.jit, static_argnums=0)
def _record(
    norm: Norm, state: GradientNormsState, leaves: list[jax.Array]
) -> GradientNormsState:
    """One step: counts, and records the norm where it is this step's turn."""
    size = state.norms.shape[0]

    def thin_out(state: GradientNormsState) -> GradientNormsState:
        kept = jnp.zeros_like(state.norms).at[: size // 2].set(state.norms[::2])
        return state._replace(every=2 * state.every, norms=kept)

    def add(state: GradientNormsState) -> GradientNormsState:
        value = global_norm(leaves, norm).astype(jnp.float32)
        index = state.step // state.every
        return state._replace(norms=state.norms.at[index].set(value))

    due = state.step % state.every == 0
    full = due & (state.step // state.every == size)
    state = once(full, thin_out, state)
    # The size is even: the norm that did not fit any more is one of those to keep.
    state = once(due, add, state)
    return state._replace(step=jnp.asarray(optax.safe_increment(state.step)))


def global_norm(leaves: list[jax.Array], norm: Norm) -> jax.Array:
    """The norm of all leaves together, in 32 bits or more; 0 of none."""
    sizes = [jnp.abs(widen(x)) for x in leaves]
    sums = [jnp.sum(x if norm == "l1" else jnp.square(x)) for x in sizes]
    dtype = jnp.result_type(jnp.float32, *sums)
    total = sum((x.astype(dtype) for x in sums), jnp.zeros((), dtype))
    return total if norm == "l1" else jnp.sqrt(total)


def recorded_gradient_norms(opt_state: optax.OptState) -> np.ndarray:
    """Returns the norms that a link has recorded so far.

    Of every step, or, of a run longer than the buffer, of every second, fourth, ...
    step: give :func:`refine_schedule` the number of steps then.

    Args:
      opt_state: the state of an optimizer that contains one
        :func:`record_gradient_norms`, wherever it stands.

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
