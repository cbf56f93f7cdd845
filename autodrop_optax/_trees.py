"""Pytrees of parameters: what is measured, what a state covers, where states are."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax


def is_inexact(x: jax.typing.ArrayLike) -> bool:
    """Whether ``x`` has a direction: floating point or complex.

    Integers, booleans, PRNG keys and ``float0`` have none.
    """
    return jnp.issubdtype(jnp.result_type(x), jnp.inexact)


def inexact_leaves(
    tree: optax.Params, like: optax.Params | None = None
) -> list[jax.Array]:
    """Returns the leaves that are measured and averaged.

    Args:
      tree: a pytree of arrays.
      like: another of the same structure, whose leaves decide in place of its own.
    """
    pairs = zip(
        jax.tree.leaves(tree),
        jax.tree.leaves(tree if like is None else like),
        strict=True,
    )
    return [x for x, kind in pairs if is_inexact(kind)]


def replace_inexact(
    tree: optax.Params, leaves: Sequence[jax.Array], like: optax.Params | None = None
):
    """Returns ``tree`` with ``leaves`` in place of its :func:`inexact_leaves`."""
    new = iter(leaves)
    return jax.tree.map(
        lambda x, kind: next(new) if is_inexact(kind) else x,
        tree,
        tree if like is None else like,
    )


def wide_dtype(dtype: jax.typing.DTypeLike) -> np.dtype:
    """Returns ``dtype``, or float32 in place of anything narrower."""
    return np.dtype(jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype)


def widen(x: jax.Array) -> jax.Array:
    """Returns ``x`` in 32 bits or more."""
    return x.astype(wide_dtype(x.dtype))


def round_to(x: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
    """Returns ``x.astype(dtype)``, rounded for certain.

    XLA may leave out a conversion to a narrower dtype that is undone later.
    """
    to = jnp.finfo(dtype)
    if to.bits < jnp.finfo(x.dtype).bits:
        x = lax.reduce_precision(x, exponent_bits=to.nexp, mantissa_bits=to.nmant)
    return x.astype(dtype)


def step_between(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns ``x - y`` in 32 bits or more: in fewer it would round or overflow.

    Where ``y`` is kept in a narrower dtype than ``x`` has, ``x`` is rounded as ``y``
    was: else parameters that do not move would have a step, that of the rounding.
    """
    return widen(round_to(x, y.dtype)) - widen(y)


def strong_copy(x: jax.Array) -> jax.Array:
    """A copy in a buffer of its own, so that both can be donated; no weak type."""
    return jnp.copy(x).astype(x.dtype) if is_inexact(x) else jnp.copy(x)


def wide_zeros(x: jax.Array) -> jax.Array:
    """Zeros in 32 bits or more with the sharding of ``x``, under ``jit`` too.

    What has no direction is copied, to fill its place.
    """
    if not is_inexact(x):
        return jnp.copy(x)
    # A constant has no sharding for the partitioner to propagate; a function of x has.
    # It must be zero for NaN as well.
    return jnp.isnan(x).astype(wide_dtype(x.dtype)) * 0


def is_abstract(params: optax.Params) -> bool:
    """Whether ``params`` are shapes and dtypes alone, as a state is then to be."""
    return any(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(params))
