"""What every `update` of AutoDrop does with its arguments."""

import jax
import jax.numpy as jnp
import optax

from autodrop_optax._algorithm import EpochAutoDropState
from autodrop_optax._trees import is_inexact


def scale_updates(updates: optax.Updates, scale: jax.Array) -> optax.Updates:
    def scaled(u):
        # Before the first drop leave u alone: even a product with one may be
        # contracted with a neighbouring sum, which then rounds differently.
        return jnp.where(scale == 1, u, u * scale.astype(u.dtype))

    return jax.tree.map(lambda u: scaled(u) if is_inexact(u) else u, updates)


def require_params(params: optax.Params | None, name: str) -> optax.Params:
    if params is None:
        raise ValueError(
            f"{name} measures the parameters, but update got params=None. Call"
            " update(updates, state, params)."
        )
    return params


def counted_steps(state: EpochAutoDropState) -> jax.Array:
    """Returns the steps into the epoch, with room to count one more."""
    assert state.step is not None  # adopt_settings has seen to it
    return jnp.minimum(state.step, jnp.iinfo(jnp.int32).max - 1)
