"""Pytrees of parameters: what is measured, what a state covers, where states are."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax


def is_inexact(x: jax.typing.ArrayLike) -> bool:
    """Whether ``x`` has a direction: floating point or complex.

    Integers, booleans, PRNG keys and ``float0`` have none.
    """
    return jnp.issubdtype(jnp.result_type(x), jnp.inexact)


def inexact_leaves(tree: optax.Params) -> list[jax.Array]:
    """Returns the leaves that are measured and averaged."""
    return [x for x in jax.tree.leaves(tree) if is_inexact(x)]


def replace_inexact(tree: optax.Params, leaves: Sequence[jax.Array]):
    """Returns ``tree`` with ``leaves`` in place of its :func:`inexact_leaves`."""
    new = iter(leaves)
    return jax.tree.map(lambda x: next(new) if is_inexact(x) else x, tree)


def wide_dtype(dtype: jax.typing.DTypeLike) -> np.dtype:
    """Returns ``dtype``, or float32 in place of anything narrower."""
    return np.dtype(jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype)


def widen(x: jax.Array) -> jax.Array:
    """Returns ``x`` in 32 bits or more."""
    return x.astype(wide_dtype(x.dtype))


def step_between(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns ``x - y`` in 32 bits or more: in fewer it would round or overflow."""
    return widen(x) - widen(y)


def check_same_shapes(
    a: optax.Params, b: optax.Params, a_name: str, b_name: str
) -> None:
    """Raises a ValueError that names the first place in which two pytrees differ."""
    a_leaves, a_treedef = jax.tree.flatten_with_path(a)
    b_leaves, b_treedef = jax.tree.flatten(b)
    if a_treedef != b_treedef:
        raise ValueError(
            f"{a_name} and {b_name} differ in structure:\n  {a_treedef}\nagainst\n"
            f"  {b_treedef}"
        )
    for (path, x), y in zip(a_leaves, b_leaves, strict=True):
        if jnp.shape(x) != jnp.shape(y):
            raise ValueError(
                f"{a_name} and {b_name} differ in shape"
                f" at {jax.tree_util.keystr(path) or 'the root'}:"
                f" {jnp.shape(x)} against {jnp.shape(y)}"
            )


# A transformation under `optax.masked` or `optax.partition` sees a MaskedNode in place
# of each subtree that is none of its business.


def _is_masked(x) -> bool:
    return isinstance(x, optax.MaskedNode)


def select_covered(cover: optax.Params, params: optax.Params):
    """Returns ``params`` with a MaskedNode wherever ``cover`` has one."""
    try:
        covered = jax.tree.map(
            lambda c, p: c if _is_masked(c) else p, cover, params, is_leaf=_is_masked
        )
    except ValueError:
        covered = params  # the comparison below says what differs
    check_same_shapes(covered, cover, "params", "the parameters given to init")
    return covered


def merge_covered(covered: optax.Params, params: optax.Params):
    """Returns ``params`` with what ``covered`` holds put in its place."""
    return jax.tree.map(
        lambda c, p: p if _is_masked(c) else c, covered, params, is_leaf=_is_masked
    )


def coverage(cover: optax.Params, params: optax.Params) -> list[bool]:
    """Returns for each leaf of ``params`` whether it is measured under ``cover``."""
    flags = jax.tree.map(
        lambda c, p: jax.tree.map(lambda x: not _is_masked(c) and is_inexact(x), p),
        cover,
        params,
        is_leaf=_is_masked,
    )
    return jax.tree.leaves(flags)
