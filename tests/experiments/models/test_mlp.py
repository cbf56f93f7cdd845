"""The perceptron."""

import functools

import jax.numpy as jnp
import numpy as np
from image_layers import linear, relu

from experiments.models import MLP

SMALL = functools.partial(MLP, (3, 4), (5, 6), 7)
INPUTS = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)


def test_network(randomised, forward):
    model = randomised(SMALL)
    x = INPUTS.reshape(2, 12).astype(np.float64)
    for layer in model.layers[:-1]:
        x = relu(linear(x, layer))
    expected = linear(x, model.layers[-1])
    np.testing.assert_allclose(forward(model, INPUTS), expected, rtol=1e-5)


def test_number_of_parameters(num_parameters):
    assert num_parameters(SMALL) == 12 * 5 + 5 + 5 * 6 + 6 + 6 * 7 + 7


def test_bfloat16(products, state_dtypes, randomised, forward):
    build = functools.partial(SMALL, dtype=jnp.bfloat16)
    *hidden, last = products(build, INPUTS)
    assert [product.operand_dtypes for product in hidden] == 2 * [{"bfloat16"}]
    assert last.operand_dtypes == {"float32"}
    assert state_dtypes(build) == {"float32"}
    found, expected = (forward(randomised(b), INPUTS) for b in (build, SMALL))
    assert found.dtype == jnp.float32
    assert 1e-4 < np.max(np.abs(found - expected)) < 0.03 * np.max(np.abs(expected))
