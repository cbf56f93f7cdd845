"""The transformer: size, arithmetic, causality, bfloat16."""

import functools
import math

import jax.numpy as jnp
import numpy as np
import pytest
from image_layers import linear, values

from experiments.models import Transformer, TransformerBlock

SMALL = functools.partial(Transformer, 11, 9, width=8, num_layers=2, num_heads=2)
TOKENS = np.random.default_rng(1).integers(0, 11, (3, 9)).astype(np.int32)


def layer_norm(x, layer):
    centred = x - x.mean(-1, keepdims=True)
    std = np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return values(layer.scale) * centred / std + values(layer.bias)


def gelu(x):
    """Its usual approximation by the hyperbolic tangent."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def attention(x, layer):
    """Each position of each head on its own, over the positions up to it."""
    result = np.zeros_like(x)
    for head in range(layer.num_heads):
        query, key, value = (
            x @ values(part.kernel)[:, head] + values(part.bias)[head]
            for part in (layer.query, layer.key, layer.value)
        )
        for t in range(x.shape[1]):
            seen = slice(t + 1)
            scores = np.einsum("bsd,bd->bs", key[:, seen], query[:, t])
            weights = np.exp(scores / math.sqrt(query.shape[-1]))
            weights /= weights.sum(-1, keepdims=True)
            mixed = np.einsum("bs,bsd->bd", weights, value[:, seen])
            result[:, t] += mixed @ values(layer.out.kernel)[head]
    return result + values(layer.out.bias)


def transformer_block(x, block):
    x = x + attention(layer_norm(x, block.norm1), block.attention)
    hidden = gelu(linear(layer_norm(x, block.norm2), block.expand))
    return x + linear(hidden, block.contract)


def test_number_of_parameters(num_parameters):
    vocabulary, length, w, layers = 100, 128, 64, 2
    build = functools.partial(
        Transformer, vocabulary, length, width=w, num_layers=layers, num_heads=4
    )
    # LayerNorms, attention's four projections, the perceptron's two.
    block = 2 * 2 * w + 4 * (w * w + w) + (4 * w * w + 4 * w) + (4 * w * w + w)
    expected = vocabulary * w + length * w + layers * block + 2 * w
    assert num_parameters(build) == expected


def test_block(randomised, forward):
    block = randomised(functools.partial(TransformerBlock, 8, 2))
    x = np.random.default_rng(2).normal(size=(3, 5, 8)).astype(np.float32)
    expected = transformer_block(x.astype(np.float64), block)
    np.testing.assert_allclose(forward(block, x), expected, rtol=1e-4, atol=1e-4)


def test_whole_network(randomised, forward):
    model = randomised(SMALL)
    tokens = TOKENS[:, :7]  # shorter than the longest sequence
    embedding = values(model.tokens.embedding)
    x = embedding[tokens] + values(model.positions.embedding)[:7]
    for block in model.blocks:
        x = transformer_block(x, block)
    expected = layer_norm(x, model.norm) @ embedding.T
    np.testing.assert_allclose(forward(model, tokens), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("position", [0, 4, 8])
def test_a_token_changes_only_its_own_and_later_predictions(
    randomised, forward, position
):
    model = randomised(SMALL)
    changed = TOKENS.copy()
    changed[:, position] = (changed[:, position] + 1) % 11
    differs = np.any(forward(model, TOKENS) != forward(model, changed), axis=-1)
    expected = np.broadcast_to(np.arange(9) >= position, differs.shape)
    np.testing.assert_array_equal(differs, expected)


def test_too_long_a_sequence(randomised):
    model = randomised(SMALL)
    with pytest.raises(ValueError, match="have 10 positions, the network has 9"):
        model(jnp.zeros((1, 10), jnp.int32))


@pytest.mark.slow
def test_bfloat16(products, state_dtypes, randomised, forward):
    build = functools.partial(SMALL, dtype=jnp.bfloat16)
    *inner, head = products(build, TOKENS)
    # In a block: four projections, scores, weighted sum, two of the perceptron.
    assert len(inner) == 2 * 8
    assert all(product.operand_dtypes == {"bfloat16"} for product in inner)
    assert head.operand_dtypes == {"float32"}
    assert state_dtypes(build) == {"float32"}

    found, expected = (forward(randomised(b), TOKENS) for b in (build, SMALL))
    assert found.dtype == jnp.float32
    assert 1e-4 < np.max(np.abs(found - expected)) < 0.05 * np.max(np.abs(expected))
