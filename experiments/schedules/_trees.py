"""Sums over pytrees of real arrays, in float32."""

import jax
import jax.numpy as jnp
import optax


def dot(a: optax.Params, b: optax.Params) -> jax.Array:
    """Returns the inner product of two pytrees, shape (), float32."""
    products = jax.tree.map(
        lambda x, y: jnp.sum(x.astype(jnp.float32) * y.astype(jnp.float32)), a, b
    )
    return jax.tree.reduce(jnp.add, products, jnp.float32(0))


def squared_norm(a: optax.Params) -> jax.Array:
    """Returns the squared l2 norm of a pytree, shape (), float32."""
    return dot(a, a)


def scaled(a: optax.Updates, factor: jax.Array) -> optax.Updates:
    """Returns a pytree times a scalar, each leaf in its own dtype."""
    return jax.tree.map(lambda x: x * factor.astype(x.dtype), a)


def require_params(params: optax.Params | None, name: str) -> optax.Params:
    """Returns ``params``, or raises a ValueError where they are missing."""
    if params is None:
        raise ValueError(
            f"{name} reads the parameters, but update got params=None. Call"
            " update(updates, state, params)."
        )
    return params
