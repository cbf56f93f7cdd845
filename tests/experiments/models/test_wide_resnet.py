"""Wide residual networks: sizes, arithmetic, bfloat16."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from image_layers import batch_norm, conv, linear, relu

from experiments.models import WideBlock, WideResNet

SMALL = functools.partial(WideResNet, 10, 1, 5)


def images(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def wide(x, block, stride, norm=batch_norm):
    activated = relu(norm(x, block.norm1))
    y = relu(norm(conv(activated, block.conv1, stride), block.norm2))
    y = conv(y, block.conv2)
    if block.shortcut is None:
        return x + y
    return conv(activated, block.shortcut, stride) + y


def by_hand(n, k, classes):
    """Parameters of WRN-(6n+4)-k.

    A 3x3 convolution from a to b channels has 9ab, BatchNorm of c channels 2c.
    """
    total = 9 * 3 * 16
    n_in = 16
    for w in (16 * k, 32 * k, 64 * k):
        first = 2 * n_in + 9 * n_in * w + 2 * w + 9 * w * w + n_in * w
        other = 2 * w + 9 * w * w + 2 * w + 9 * w * w
        total += first + (n - 1) * other
        n_in = w
    return total + 2 * 64 * k + 64 * k * classes + classes


@pytest.mark.parametrize(
    ("depth", "classes", "n", "parameters"),
    [
        # Groups of 160, 320, 640 channels. Of n = 4 blocks, first and other ones:
        #   432 + (256_352 + 3 * 461_440) + (1_434_560 + 3 * 1_844_480)
        #   + (5_735_040 + 3 * 7_375_360) + 1_280 + 6_410.
        pytest.param(28, 10, 4, 36_479_194, id="cifar10-28x10"),
        # Of n = 6 blocks:
        #   432 + (256_352 + 5 * 461_440) + (1_434_560 + 5 * 1_844_480)
        #   + (5_735_040 + 5 * 7_375_360) + 1_280 + 64_100.
        pytest.param(40, 100, 6, 55_899_444, id="cifar100-40x10"),
    ],
)
def test_number_of_parameters(num_parameters, depth, classes, n, parameters):
    assert by_hand(n, 10, classes) == parameters
    build = functools.partial(WideResNet, depth, 10, classes)
    assert num_parameters(build) == parameters


def test_shapes_at_full_size(products):
    inputs = jax.ShapeDtypeStruct((4, 32, 32, 3), jnp.float32)
    *_, last_conv, head = products(functools.partial(WideResNet, 28, 10, 10), inputs)
    assert last_conv.shape == (4, 8, 8, 640)
    assert head.shape == (4, 10)


@pytest.mark.parametrize("depth", [4, 18, 27])
def test_depth_that_does_not_fit(depth):
    with pytest.raises(ValueError, match=rf"6n \+ 4 .* got {depth}"):
        WideResNet(depth, 1, 10, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("channels", "stride"),
    [
        pytest.param(6, 1, id="same-shape"),
        pytest.param(6, 2, id="smaller"),
        pytest.param(4, 1, id="more-channels"),
    ],
)
def test_block(randomised, forward, channels, stride):
    block = randomised(functools.partial(WideBlock, channels, 6, stride))
    block.train()
    x = images(3, 8, 7, channels)
    norm = functools.partial(batch_norm, training=True)
    expected = wide(x.astype(np.float64), block, stride, norm)
    np.testing.assert_allclose(forward(block, x), expected, rtol=1e-4, atol=1e-4)


def test_whole_network(randomised, forward):
    model = randomised(SMALL)
    model.eval()
    inputs = images(2, 8, 8, 3)
    x = conv(inputs.astype(np.float64), model.conv)
    for block, stride in zip(model.blocks, (1, 2, 2), strict=True):
        x = wide(x, block, stride)
    expected = linear(relu(batch_norm(x, model.norm)).mean((1, 2)), model.head)
    found = forward(model, inputs)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_bfloat16(products, state_dtypes, randomised, forward):
    build = functools.partial(SMALL, dtype=jnp.bfloat16)
    inputs = images(8, 8, 8, 3)
    *convolutions, head = products(build, inputs)
    # The first group's 16 channels need no shortcut where the factor is 1.
    assert len(convolutions) == 1 + 3 * 2 + 2
    assert all(product.operand_dtypes == {"bfloat16"} for product in convolutions)
    assert head.operand_dtypes == {"float32"}
    assert state_dtypes(build) == {"float32"}

    found, expected = (forward(randomised(b), inputs) for b in (build, SMALL))
    assert found.dtype == jnp.float32
    assert 1e-4 < np.max(np.abs(found - expected)) < 0.03 * np.max(np.abs(expected))
