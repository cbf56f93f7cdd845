"""The recurrent network: size, arithmetic, bfloat16."""

import functools

import jax.numpy as jnp
import numpy as np
from image_layers import values

from experiments.models import GRU

SMALL = functools.partial(GRU, 11, 8, 5)
TOKENS = np.random.default_rng(1).integers(0, 11, (3, 6)).astype(np.int32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_number_of_parameters(num_parameters):
    vocabulary, w, classes = 27, 64, 15
    build = functools.partial(GRU, vocabulary, w, classes)
    # Embedding; three gates of token and state, with one bias each; linear layer.
    expected = vocabulary * w + 3 * (2 * w * w + w) + w * classes + classes
    assert num_parameters(build) == expected


def test_whole_network(randomised, forward):
    model = randomised(SMALL)
    state = np.zeros((3, 8))
    for tokens in TOKENS.T:
        x = values(model.tokens.embedding)[tokens]
        of_token = x @ values(model.cell.dense_i.kernel)
        of_token += values(model.cell.dense_i.bias)
        of_state = state @ values(model.cell.dense_h.kernel)
        (r, z, n), (hr, hz, hn) = (
            np.split(gates, 3, axis=1) for gates in (of_token, of_state)
        )
        kept = sigmoid(z + hz)
        candidate = np.tanh(n + sigmoid(r + hr) * hn)
        state = kept * state + (1 - kept) * candidate
    expected = state @ values(model.head.kernel) + values(model.head.bias)
    np.testing.assert_allclose(forward(model, TOKENS), expected, rtol=1e-4, atol=1e-4)


def test_bfloat16(products, state_dtypes, randomised, forward):
    build = functools.partial(SMALL, dtype=jnp.bfloat16)
    *inner, head = products(build, TOKENS)
    # The scan's body: the gates of token and state.
    assert len(inner) == 2
    assert all(product.operand_dtypes == {"bfloat16"} for product in inner)
    assert head.operand_dtypes == {"float32"}
    assert state_dtypes(build) == {"float32"}

    found, expected = (forward(randomised(b), TOKENS) for b in (build, SMALL))
    assert found.dtype == jnp.float32
    assert 1e-4 < np.max(np.abs(found - expected)) < 0.05 * np.max(np.abs(expected))
