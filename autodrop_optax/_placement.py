"""The placement of a state's arrays: their dtype, their memory, their mesh."""

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import optax

from autodrop_optax._trees import inexact_leaves, map_inexact, round_to

MemoryKind = Literal["device", "pinned_host"]
State = TypeVar("State", bound=Any)

_HOST, _DEVICE = jax.memory.Space.Host, jax.memory.Space.Device


def stored(
    tree: optax.Params, dtype: jax.typing.DTypeLike | None, memory_kind: MemoryKind
) -> Any:
    """Returns a tree of the state in the memory, and its real leaves in the dtype.

    None leaves the dtypes. What is not inexact stays as it is.
    """

    def put(x: jax.Array) -> jax.Array:
        if dtype is not None and not jnp.iscomplexobj(x):
            x = round_to(x, dtype)
        return x if memory_kind == "device" else jax.device_put(x, _HOST)

    return map_inexact(put, tree)


def load(stored: Any) -> Any:
    """Returns a tree of the state in the device's memory, where one can compute."""
    return jax.tree.map(
        lambda x: jax.device_put(x, _DEVICE) if _is_on_host(x) else x, stored
    )


def store(values: Any, stored: Any) -> Any:
    """Returns a tree in the dtypes and the memory of the one that it replaces."""

    def put(x: jax.Array, old: jax.Array) -> jax.Array:
        x = round_to(x, old.dtype)
        return jax.device_put(x, _HOST) if _is_on_host(old) else x

    return map_inexact(put, values, stored)


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
    # One sum over the devices and not one for each scalar.
    reference = scalar_of(min(inexact, key=lambda x: x.size))
    kept = {name: getattr(state, name) for name in trees}
    scalars = state._replace(**dict.fromkeys(trees))
    return jax.tree.map(lambda x: on_mesh_of(reference, x), scalars)._replace(**kept)


def on_mesh_of(reference: jax.Array, x: jax.Array) -> jax.Array:
    """Returns the scalar ``x`` on the mesh of the scalar ``reference``.

    An operation on both would put its result there. A scalar of the state must be
    there from the start, or its type would change with the first update.
    """
    if _mesh(reference) == _mesh(x):
        return x
    return jnp.where(reference == reference, x, x)


def scalar_of(x: jax.Array) -> jax.Array:
    """Returns a scalar on the mesh of ``x``."""
    # Not zeros_like, a constant: jit(init) would not know of the parameters then.
    return jnp.sum(jnp.isnan(x) & False) if x.ndim else x


def _is_on_host(x: jax.Array) -> bool:
    return jax.typeof(x).memory_space == _HOST


def _mesh(x: jax.Array) -> jax.sharding.AbstractMesh:
    """The mesh that the type of ``x`` tells of; empty if it tells of none."""
    return jax.typeof(x).sharding.mesh
