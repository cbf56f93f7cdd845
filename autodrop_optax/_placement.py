"""Where arrays of the state live: in which dtype, which memory and on which mesh."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from autodrop_optax._trees import round_to

_HOST, _DEVICE = jax.memory.Space.Host, jax.memory.Space.Device


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


def on_mesh_of(reference: jax.Array, x: jax.Array) -> jax.Array:
    """Returns the scalar ``x`` on the mesh of ``reference``.

    An operation on both would put its result there. A scalar of the state must be
    there from the start, or its type would change with the first update.
    """
    if jax.typeof(reference).sharding.mesh == jax.typeof(x).sharding.mesh:
        return x
    if reference.ndim:
        reference = jnp.sum(jnp.zeros_like(reference))
    return jnp.where(reference == reference, x, x)


def on_a_mesh(x: jax.Array) -> bool:
    """Whether the type of ``x`` tells of several devices."""
    return not jax.typeof(x).sharding.mesh.empty


def is_on_host(x: jax.Array) -> bool:
    """Whether ``x`` is kept in the host's memory."""
    return jax.typeof(x).memory_space == _HOST
