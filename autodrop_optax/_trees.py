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


def check_measurable(params: optax.Params) -> None:
    """Raises a ValueError unless the direction of ``params`` can be measured."""
    if isinstance(params, optax.LookaheadParams):
        raise ValueError(
            "AutoDrop got optax.LookaheadParams, so it stands around optax.lookahead,"
            " whose updates are jumps to a point: scaled, they would miss it. Put it"
            " inside, on the fast optimizer: optax.chain(fast, autodrop()), or a chain"
            " with windowed_autodrop, or with_epoch_autodrop(fast, ...,"
            " averaging=False)."
        )
    leaves = jax.tree.leaves(params)
    if leaves and not any(map(is_inexact, leaves)):
        dtypes = sorted({str(jnp.result_type(x)) for x in leaves})
        raise ValueError(
            "params hold nothing whose direction could be measured: every leaf is of"
            f" dtype {', '.join(dtypes)}. AutoDrop needs floating point or complex"
            " parameters."
        )


def check_match(a: optax.Params, b: optax.Params, a_name: str, b_name: str) -> None:
    """Raises a ValueError that names the first place in which two pytrees differ.

    Dtypes may differ, but both must be floating point, complex, or neither.

    Args:
      a: a pytree of arrays.
      b: another.
      a_name: what to call the first.
      b_name: what to call the second.
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
        kinds = [
            [jnp.issubdtype(d, k) for k in (jnp.floating, jnp.complexfloating)]
            for d in (x_dtype, y_dtype)
        ]
        if kinds[0] != kinds[1]:
            fail(path, "dtype", x_dtype, y_dtype)


# A transformation under `optax.masked` or `optax.partition` sees a MaskedNode in place
# of each subtree that is none of its business. A part of an Equinox model that was
# filtered has None there.


def _is_left_out(x) -> bool:
    return x is None or isinstance(x, optax.MaskedNode)


def select_covered(cover: optax.Params, params: optax.Params):
    """Returns ``params`` with a MaskedNode or None wherever ``cover`` has one."""
    try:
        covered = jax.tree.map(
            lambda c, p: c if _is_left_out(c) else p,
            cover,
            params,
            is_leaf=_is_left_out,
        )
    except ValueError:
        covered = params  # the comparison below says what differs
    check_match(covered, cover, "params", "those given to init")
    return covered


def merge_covered(covered: optax.Params, params: optax.Params):
    """Returns ``params`` with what ``covered`` holds put in its place."""
    return jax.tree.map(
        lambda c, p: p if _is_left_out(c) else c, covered, params, is_leaf=_is_left_out
    )
