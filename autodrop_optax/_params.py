"""The parameters that users give: what is refused, and what the error says to do."""

import jax
import jax.numpy as jnp
import optax

from autodrop_optax._trees import is_inexact


def is_abstract(params: optax.Params) -> bool:
    """Whether ``params`` are shapes and dtypes alone, as a state is then to be."""
    return any(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(params))


def jump_error(where: str) -> ValueError:
    """The error of AutoDrop around or beside an optimizer that jumps to a point."""
    return ValueError(
        f"{where}, whose updates are jumps to a point: scaled, they miss it. Put"
        " AutoDrop inside, on the base optimizer, if it has one: optax.chain(base,"
        " autodrop()), or with_epoch_autodrop(base, ..., averaging=False). To watch its"
        " angle alone, keep a state of epoch_autodrop(..., threshold=0.0) outside of"
        " the optimizer's and end its epochs."
    )


def measurable(params: optax.Params) -> optax.Params:
    """Returns :func:`as_arrays`.

    Raises:
      ValueError: their direction cannot be measured, as none of them is a floating
        point or complex number; or they are ``optax.LookaheadParams``.
    """
    if isinstance(params, optax.LookaheadParams):
        raise jump_error("AutoDrop got LookaheadParams, so is around optax.lookahead")
    params = as_arrays(params)
    leaves = jax.tree.leaves(params)
    if leaves and not any(map(is_inexact, leaves)):
        dtypes = sorted({str(jnp.result_type(x)) for x in leaves})
        raise ValueError(
            "params hold nothing whose direction could be measured: every leaf is of"
            f" dtype {', '.join(dtypes)}. AutoDrop needs floating point or complex"
            " parameters."
        )
    return params


def as_arrays(params: optax.Params) -> optax.Params:
    """Returns ``params`` with arrays, or shapes and dtypes, for leaves.

    Numbers and NumPy's arrays are parameters to optax, and so they are here.

    Raises:
      ValueError: a leaf is something else, as a function in a module of Equinox.
    """

    def convert(path, x):
        if isinstance(x, jax.Array | jax.ShapeDtypeStruct):
            return x
        try:
            return jnp.asarray(x)
        except TypeError:
            raise ValueError(
                f"params hold a {type(x).__name__} at {_place(path)}, which is no"
                " array. Pass to init and update what is trained alone, of an Equinox"
                " model eqx.filter(model, eqx.is_inexact_array)."
            ) from None

    return jax.tree.map_with_path(convert, params)


# A transformation under `optax.masked` or `optax.partition` sees a MaskedNode in place
# of each subtree that is none of its business. A part of an Equinox model that was
# filtered has None there.


def _is_left_out(x) -> bool:
    return x is None or isinstance(x, optax.MaskedNode)


def select_covered(cover: optax.Params, params: optax.Params) -> optax.Params:
    """Returns ``params`` as arrays, left out what ``cover`` leaves out.

    Raises:
      ValueError: the rest of ``params`` does not match that of ``cover``.
    """
    try:
        covered = jax.tree.map(
            lambda c, p: c if _is_left_out(c) else p,
            cover,
            params,
            is_leaf=_is_left_out,
        )
    except ValueError:
        covered = params  # the comparison below says what differs
    covered = as_arrays(covered)
    check_match(covered, cover, "params", "those given to init")
    return covered


def merge_covered(covered: optax.Params, params: optax.Params) -> optax.Params:
    """Returns ``params`` with what ``covered`` holds put in its place."""
    return jax.tree.map(
        lambda c, p: p if _is_left_out(c) else c,
        covered,
        params,
        is_leaf=_is_left_out,
    )


def check_match(
    a: optax.Params, b: optax.Params, a_name: str, b_name: str, integers: bool = True
) -> None:
    """Raises a ValueError that names the first place in which two pytrees differ.

    Dtypes may differ, but both must be floating point, complex, or neither. With
    ``integers`` false it does not matter what stands for those in ``b``, as in optax's
    updates of integers.
    """
    ours, theirs = (
        {_place(path): x for path, x in jax.tree.leaves_with_path(tree)}
        for tree in (a, b)
    )
    differ = f"{a_name} and {b_name} differ in"
    a_tree, b_tree = jax.tree.structure(a), jax.tree.structure(b)
    if a_tree != b_tree:
        only = [f"only {a_name} have {place}" for place in ours if place not in theirs]
        only += [f"only {b_name} have {place}" for place in theirs if place not in ours]
        remedy = "AutoDrop must always be given the tree that init was given."
        if any(kind.__module__.startswith("flax.nnx") for kind in type(a).__mro__):
            remedy = (
                "With NNX use autodrop_optax.flax, whose functions take the model and"
                " its nnx.Optimizer, as eval_model(model, optimizer)."
            )
        elif hasattr(a, "opt_state"):
            remedy = "Of a TrainState pass its params: state.params."
        detail = only[0] if only else f"{a_tree!s:.100} vs {b_tree!s:.100}"
        raise ValueError(f"{differ} structure: {detail}. {remedy}")

    def kind(dtype) -> list[bool]:
        return [jnp.issubdtype(dtype, k) for k in (jnp.floating, jnp.complexfloating)]

    for place, x in ours.items():
        y = theirs[place]
        shapes = jnp.shape(x), jnp.shape(y)
        if shapes[0] != shapes[1]:
            few, many = sorted(shapes, key=len)
            hint = f" One has {one_copy(many)}" if many[1:] == few else ""
            raise ValueError(
                f"{differ} shape at {place}: {shapes[0]} vs {shapes[1]}.{hint}"
            )
        dtypes = jnp.result_type(x), jnp.result_type(y)
        if kind(dtypes[0]) != kind(dtypes[1]) and (integers or is_inexact(y)):
            raise ValueError(f"{differ} dtype at {place}: {dtypes[0]} vs {dtypes[1]}")


def one_copy(shape: tuple[int, ...]) -> str:
    """What to do about an axis that was added in front."""
    return (
        f"a leading axis of {shape[0]}, as jax.pmap, jax.vmap and replicate give it."
        " Call this under the same map, or take one copy of parameters and state:"
        " jax.tree.map(lambda x: x[0], tree)."
    )


def _place(path) -> str:
    return jax.tree_util.keystr(path) or "the root"
