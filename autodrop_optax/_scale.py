"""A scale of the learning rate: its floor, the count of its drops, its use."""

import jax
import jax.numpy as jnp
import optax

from autodrop_optax._trees import map_inexact


def drop_scale(scale: jax.Array, factor: jax.Array, floor: jax.Array) -> jax.Array:
    """Returns the scale after a drop; a floor above it leaves it where it is."""
    return jnp.maximum(jnp.minimum(floor, scale), factor * scale)


def rate_at(scale: jax.Array, initial: jax.Array, floor: jax.Array) -> jax.Array:
    """Returns the rate at a scale; at the floor of the rate, the floor itself.

    Their product may be a rounding beside it, and a run would not be seen to end there.
    """
    rate = initial * scale
    return jnp.where(jnp.abs(rate - floor) <= 1e-6 * floor, floor, rate)


def count_if(condition: jax.Array, count: jax.Array) -> jax.Array:
    """Returns ``count``, one more where ``condition`` holds; it saturates."""
    return jnp.where(condition, optax.safe_increment(count), count)


def scale_updates(updates: optax.Updates, scale: jax.Array) -> optax.Updates:
    """Returns the updates times ``scale``, in their dtypes."""
    # Before the first drop leave u alone: even a product with one may be contracted
    # with a neighbouring sum, which then rounds differently.
    return map_inexact(
        lambda u: jnp.where(scale == 1, u, u * scale.astype(jnp.result_type(u))),
        updates,
    )
