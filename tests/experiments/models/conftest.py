"""Tools for the tests of networks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx


@pytest.fixture
def randomised():
    """Builds a network in which nothing hides at 0: all parameters are random.

    The running statistics are, too. The network's own start would be compiled layer by
    layer and take seconds.
    """

    def build_random(build) -> nnx.Module:
        rng = np.random.default_rng(0)

        def values(path, leaf):
            if jax.tree_util.keystr(path).endswith(("['var']", "['scale']")):
                return jnp.asarray(rng.uniform(0.5, 2.0, leaf.shape), leaf.dtype)
            return jnp.asarray(rng.normal(0.0, 0.3, leaf.shape), leaf.dtype)

        model = nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0)))
        graphdef, state = nnx.split(model)
        pure = jax.tree_util.tree_map_with_path(values, nnx.to_pure_dict(state))
        nnx.replace_by_pure_dict(state, pure)
        return nnx.merge(graphdef, state)

    return build_random


@pytest.fixture
def forward():
    """Calls a network, compiled as a whole; running statistics move as usual."""
    return nnx.jit(lambda model, inputs: model(inputs))


@pytest.fixture
def state_dtypes():
    """The dtypes of a network's parameters and running statistics."""

    def dtypes(build) -> set[str]:
        model = nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0)))
        return {str(leaf.dtype) for leaf in jax.tree.leaves(nnx.state(model))}

    return dtypes


@pytest.fixture
def num_parameters():
    """Counts the parameters of a network that is built without its memory."""

    def count(build) -> int:
        model = nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0)))
        leaves = jax.tree.leaves(nnx.state(model, nnx.Param))
        return sum(leaf.size for leaf in leaves)

    return count


class Product(NamedTuple):
    """A convolution or a matrix product in a network."""

    operand_dtypes: set[str]
    shape: tuple[int, ...]  # of what comes out


@pytest.fixture
def products():
    """Lists a network's products without its memory, in their order."""

    def trace(build, inputs) -> list[Product]:
        model = nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0)))
        graphdef, state = nnx.split(model)
        jaxpr = jax.make_jaxpr(lambda s, x: nnx.merge(graphdef, s)(x))(state, inputs)
        return list(_products(jaxpr.jaxpr))

    return trace


def _products(jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            dtypes = {str(variable.aval.dtype) for variable in equation.invars}
            yield Product(dtypes, equation.outvars[0].aval.shape)
        for value in equation.params.values():
            if hasattr(value, "jaxpr"):
                yield from _products(value.jaxpr)
