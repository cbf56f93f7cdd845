"""The placement of a state's arrays: their dtype, their memory, their mesh."""

import functools
from collections.abc import Sequence
from typing import Any, Literal, TypeVar, get_args

import jax
import jax.numpy as jnp
import optax

from autodrop_optax._checks import check_choice, check_floating
from autodrop_optax._trees import inexact_leaves, is_inexact, round_to

MemoryKind = Literal["device", "pinned_host"]
State = TypeVar("State", bound=Any)

_HOST, _DEVICE = jax.memory.Space.Host, jax.memory.Space.Device


def check_storage(dtype: jax.typing.DTypeLike | None, memory_kind: MemoryKind) -> None:
    """Checks the arguments ``state_dtype`` and ``state_memory_kind``."""
    if dtype is not None:
        check_floating("state_dtype", dtype)
    check_choice("state_memory_kind", memory_kind, get_args(MemoryKind))


def stored(
    tree: optax.Params, dtype: jax.typing.DTypeLike | None, memory_kind: MemoryKind
) -> optax.Params:
    """Returns a new tree of the state where and how it is to be kept.

    Args:
      tree: arrays; of those that are not floating point nothing changes but, if they
        are complex, the memory.
      dtype: None leaves theirs.
      memory_kind: where to keep them.
    """

    def put(x: jax.Array) -> jax.Array:
        if not is_inexact(x):
            return x
        if dtype is not None and not jnp.iscomplexobj(x):
            x = round_to(x, dtype)
        return x if memory_kind == "device" else to_host(x)

    return jax.tree.map(put, tree)


def load(stored: Sequence[jax.Array]) -> list[jax.Array]:
    """Returns arrays of the state in the device's memory, where one can compute."""
    return [jax.device_put(x, _DEVICE) if is_on_host(x) else x for x in stored]


def store(values: Sequence[jax.Array], stored: Sequence[jax.Array]) -> list[jax.Array]:
    """Returns values in the dtypes and the memory of those that they replace."""
    pairs = zip(values, stored, strict=True)
    return [
        to_host(round_to(x, old.dtype)) if is_on_host(old) else round_to(x, old.dtype)
        for x, old in pairs
    ]


def to_host(x: jax.Array) -> jax.Array:
    """Returns ``x`` in the host's memory, sharded as before."""
    return jax.device_put(x, _HOST)


def scalars_on_mesh_of(
    params: optax.Params, state: State, trees: Sequence[str]
) -> State:
    """Returns a new state whose scalars lie on the mesh of the parameters, if any.

    Args:
      params: the parameters.
      state: a NamedTuple.
      trees: its fields that are no scalars, but trees like the parameters.
    """
    inexact = [x for x in inexact_leaves(params) if not _mesh(x).empty]
    if not inexact:
        return state
    reference = min(inexact, key=lambda x: x.size)
    scalars = jax.tree.map(
        functools.partial(on_mesh_of, reference),
        state._replace(**dict.fromkeys(trees)),
    )
    return scalars._replace(**{name: getattr(state, name) for name in trees})


def on_mesh_of(reference: jax.Array, x: jax.Array) -> jax.Array:
    """Returns the scalar ``x`` on the mesh of ``reference``.

    An operation on both would put its result there. A scalar of the state must be
    there from the start, or its type would change with the first update.
    """
    if _mesh(reference) == _mesh(x):
        return x
    if reference.ndim:
        # Not zeros_like, a constant: jit(init) would not know of the parameters then.
        reference = jnp.sum(jnp.isnan(reference) & False)
    return jnp.where(reference == reference, x, x)


def is_on_host(x: jax.Array) -> bool:
    """Whether ``x`` is kept in the host's memory."""
    return jax.typeof(x).memory_space == _HOST


def _mesh(x: jax.Array) -> jax.sharding.AbstractMesh:
    """The mesh that the type of ``x`` tells of; empty if it tells of none."""
    return jax.typeof(x).sharding.mesh
