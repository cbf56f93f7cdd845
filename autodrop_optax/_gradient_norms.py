"""A link that records the norms of gradients, for schedules to be refined by."""

import functools
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import optax

from autodrop_optax._checks import check_choice, check_count
from autodrop_optax._once import once
from autodrop_optax._placement import scalars_on_mesh_of
from autodrop_optax._recorded_norms import GradientNormsState
from autodrop_optax._trees import inexact_leaves, widen

Norm = Literal["l1", "l2"]


def record_gradient_norms(
    norm: Norm = "l2", *, buffer_size: int = 4096
) -> optax.GradientTransformationExtraArgs:
    """Records the norm of the gradients in its state and leaves them as they are.

    A link for :func:`optax.chain`, to be put where the gradients come in, in front of
    everything that changes them: ``optax.chain(record_gradient_norms("l1"),
    optax.adam(1e-3))``. The norm is that of all leaves together; leaves that are not
    floating point or complex do not count, nor do masked ones.

    The buffer has a fixed size, and whatever the length of the run, its norms are
    evenly spaced over all of it. At first each step's norm is recorded. When the buffer
    is full every second norm is left out, and from there on every second step's is
    recorded; when it is full again, every fourth; and so on. So a run of up to
    ``buffer_size`` steps has all its norms, a longer one at least half as many as the
    buffer takes. Norms that are not recorded are not computed.

    :func:`autodrop_optax.refinement.recorded_gradient_norms` reads them from the state
    of the optimizer; :func:`refine_schedule` makes a schedule of them.

    Args:
      norm: ``"l2"`` for SGD, ``"l1"`` for Adam and other optimizers that scale each
        coordinate. l1: the sum of the absolute values.
      buffer_size: most norms to keep, an even number; 4 bytes each.

    Returns:
      An :class:`optax.GradientTransformationExtraArgs` with a
      :class:`autodrop_optax.refinement.GradientNormsState`. A norm that is infinite or
      NaN is recorded as such. Norms are summed up in float32, in float64 over leaves of
      that; l2 norms by their squares, so that one beyond 1e19 is recorded as infinite
      and one under 1e-22 as 0. With sharded gradients only scalars are exchanged.

    Raises:
      ValueError: an argument is out of its range. In ``update``: the state was made
        with another ``buffer_size``.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from autodrop_optax import record_gradient_norms, refine_schedule
      >>> from autodrop_optax.refinement import recorded_gradient_norms
      >>> optimizer = optax.chain(record_gradient_norms(), optax.sgd(0.1))
      >>> params = jnp.array([3.0, 4.0])
      >>> state = optimizer.init(params)
      >>> for _ in range(4):
      ...     updates, state = optimizer.update(params, state)
      ...     params = optax.apply_updates(params, updates)
      >>> [round(float(norm), 3) for norm in recorded_gradient_norms(state)]
      [5.0, 4.5, 4.05, 3.645]
      >>> schedule = refine_schedule(recorded_gradient_norms(state))

    References:
      Defazio, Cutkosky, Mehta, Mishchenko, `When, Why and How Much? Adaptive Learning
      Rate Scheduling by Refinement <https://arxiv.org/abs/2310.07831>`_, 2023.
    """
    check_choice("norm", norm, get_args(Norm))
    check_count("buffer_size", buffer_size)
    if buffer_size % 2:
        raise ValueError(
            "buffer_size must be even, as every second norm is left out when it is"
            f" full, got {buffer_size}."
        )

    def init_fn(params) -> Any:
        if any(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(params)):
            return jax.eval_shape(init_fn, params)
        state = GradientNormsState(
            step=jnp.zeros((), jnp.int32),
            every=jnp.ones((), jnp.int32),
            norms=jnp.full((buffer_size,), jnp.nan, jnp.float32),
        )
        return scalars_on_mesh_of(params, state, trees=())

    def update_fn(updates, state, params=None, **extra_args) -> Any:
        del params, extra_args
        there = state.norms.shape[-1]
        if there != buffer_size:
            raise ValueError(
                f"buffer_size is {buffer_size} here, but was {there} where the state"
                " was made. Build the transformation as it was then, or make a new"
                " state with init."
            )
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
        kept = jnp.full_like(state.norms, jnp.nan).at[: size // 2].set(state.norms[::2])
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
    if norm == "l1":
        sums = [jnp.sum(jnp.abs(widen(x))) for x in leaves]
    else:
        sums = [jnp.sum(jnp.square(jnp.abs(widen(x)))) for x in leaves]
    dtype = jnp.result_type(jnp.float32, *sums)
    total = sum((x.astype(dtype) for x in sums), jnp.zeros((), dtype))
    return total if norm == "l1" else jnp.sqrt(total)
