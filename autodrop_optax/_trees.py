"""Pytrees of parameters: the leaves that are measured and averaged, and their dtypes.

These leaves are floating point or complex, "inexact". All others, integers, booleans,
PRNG keys and ``float0``, have no direction and only keep their place.
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax


def is_inexact(x: jax.typing.ArrayLike) -> bool:
    """Whether ``x`` has a direction."""
    return jnp.issubdtype(jnp.result_type(x), jnp.inexact)


def map_inexact(f: Callable[..., jax.Array], tree: Any, *others: Any) -> Any:
    """Returns ``tree`` with ``f`` applied to its inexact leaves and those of others."""
    return jax.tree.map(lambda x, *y: f(x, *y) if is_inexact(x) else x, tree, *others)


def inexact_leaves(tree: Any, like: Any = None) -> list[jax.Array]:
    """Returns the leaves that are inexact in ``tree``, or in ``like`` if given."""
    kinds = jax.tree.leaves(tree if like is None else like)
    return [
        x for x, k in zip(jax.tree.leaves(tree), kinds, strict=True) if is_inexact(k)
    ]


def replace_inexact(tree: Any, leaves: Iterable[jax.Array], like: Any = None) -> Any:
    """Returns ``tree`` with ``leaves`` in place of its :func:`inexact_leaves`."""
    new, like = iter(leaves), tree if like is None else like
    return jax.tree.map(lambda x, k: next(new) if is_inexact(k) else x, tree, like)


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


def new_tree(fill: Callable[[jax.Array], jax.Array], tree: optax.Params) -> Any:
    """Returns ``fill`` of the inexact leaves and copies of the others.

    A state shares no buffer with the parameters: both are donated.
    """
    return jax.tree.map(lambda x: fill(x) if is_inexact(x) else jnp.copy(x), tree)


def strong_copy(x: jax.Array) -> jax.Array:
    """A copy that is never weakly typed."""
    return jnp.copy(x).astype(x.dtype)


def wide_zeros(x: jax.Array) -> jax.Array:
    """Zeros in 32 bits or more with the sharding of ``x``, under ``jit`` too."""
    # A constant has no sharding for the partitioner to propagate; a function of x has.
    # It must be zero for NaN as well.
    return jnp.isnan(x).astype(wide_dtype(x.dtype)) * 0
