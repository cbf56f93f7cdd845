"""Convolutions as matrix products."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.models import BasicBlock, ResNet
from experiments.models.layers import conv, with_matrix_products

IMAGES = np.random.default_rng(1).normal(size=(3, 9, 8, 2)).astype(np.float32)


@pytest.mark.parametrize(
    ("size", "stride"),
    [(1, 2), (3, 1), (3, 2), pytest.param(7, 2, marks=pytest.mark.slow)],
)
def test_convolution_as_a_matrix_product(randomised, size, stride):
    build = functools.partial(conv, 2, 5, size, stride, dtype=jnp.float32)
    usual, product = randomised(build), with_matrix_products(randomised(build))

    @nnx.jit
    def output_and_gradients(layer, x):
        def loss(layer, x):
            y = layer(x)
            return jnp.sum(y**3), y

        gradients, y = nnx.grad(loss, argnums=(0, 1), has_aux=True)(layer, x)
        return y, gradients

    found, expected = (output_and_gradients(c, IMAGES) for c in (product, usual))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


def test_no_convolution_of_a_network_is_left_out(products):
    def build(rngs):
        model = ResNet(BasicBlock, (1, 1), 3, stem="cifar", width=4, rngs=rngs)
        return with_matrix_products(model)

    images = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
    found = products(build, images)
    assert len(found) == 1 + 2 + 3 + 1
    assert {product.primitive for product in found} == {"dot_general"}
