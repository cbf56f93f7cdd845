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


def check_match(
    a: optax.Params, b: optax.Params, a_name: str, b_name: str, *, dtypes: bool
) -> None:
    """Raises a ValueError that names the first place in which two pytrees differ.

    Args:
      a: a pytree of arrays.
      b: another.
      a_name: what to call the first.
      b_name: what to call the second.
      dtypes: whether the dtypes must be the same; else it is enough that both or
        neither have a direction.
    """

    def fail(path, kind: str, x, y):
        place = jax.tree_util.keystr(path) or "the root"
        raise ValueError(
            f"{a_name} and {b_name} differ in {kind} at {place}: {x} vs {y}"
        )

    a_leaves, a_treedef = jax.tree.flatten_with_path(a)
    b_leaves, b_treedef = jax.tree.flatten(b)
    if a_treedef != b_treedef:
        a_paths = [jax.tree_util.keystr(path) for path, _ in a_leaves]
        b_paths = [
            jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(b)
        ]
        only = [f"only {a_name} have {p}" for p in a_paths if p not in b_paths]
        only += [f"only {b_name} have {p}" for p in b_paths if p not in a_paths]
        detail = only[0] if only else f"{a_treedef} vs {b_treedef}"
        raise ValueError(f"{a_name} and {b_name} differ in structure: {detail}")
    for (path, x), y in zip(a_leaves, b_leaves, strict=True):
        if jnp.shape(x) != jnp.shape(y):
            fail(path, "shape", jnp.shape(x), jnp.shape(y))
        x_dtype, y_dtype = jnp.result_type(x), jnp.result_type(y)
        if is_inexact(x) != is_inexact(y) or (dtypes and x_dtype != y_dtype):
            fail(path, "dtype", x_dtype, y_dtype)


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
    check_match(covered, cover, "params", "those given to init", dtypes=True)
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
