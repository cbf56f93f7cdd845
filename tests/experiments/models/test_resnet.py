"""Residual networks: sizes, arithmetic, what training changes, bfloat16."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from image_layers import batch_norm, conv, linear, max_pool, relu, values

from experiments.models import (
    BasicBlock,
    BottleneckBlock,
    ResNet,
    resnet18,
    resnet34,
    resnet50,
)
from experiments.models.layers import batch_norm as batch_norm_layer
from experiments.models.layers import conv as conv_layer

CIFAR_18 = functools.partial(resnet18, 10, stem="cifar")
CIFAR_34 = functools.partial(resnet34, 100, stem="cifar")
IMAGENET_18 = functools.partial(resnet18, 1000, stem="imagenet")
IMAGENET_50 = functools.partial(resnet50, 1000, stem="imagenet")
SMALL = functools.partial(ResNet, BasicBlock, (1, 1), 3, width=4)


def images(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def shortcut(x, block, stride, norm):
    if not block.shortcut.layers:
        return x
    projection, projection_norm = block.shortcut.layers
    return norm(conv(x, projection, stride), projection_norm)


def basic(x, block, stride, norm=batch_norm):
    y = relu(norm(conv(x, block.conv1, stride), block.norm1))
    y = norm(conv(y, block.conv2), block.norm2)
    return relu(y + shortcut(x, block, stride, norm))


def bottleneck(x, block, stride, norm=batch_norm):
    y = relu(norm(conv(x, block.conv1), block.norm1))
    y = relu(norm(conv(y, block.conv2, stride), block.norm2))
    y = norm(conv(y, block.conv3), block.norm3)
    return relu(y + shortcut(x, block, stride, norm))


@pytest.mark.parametrize(
    ("build", "parameters"),
    [
        pytest.param(CIFAR_18, 11_173_962, id="cifar10-18"),
        pytest.param(CIFAR_34, 21_328_292, id="cifar100-34"),
        pytest.param(IMAGENET_18, 11_689_512, id="imagenet-18"),
        pytest.param(IMAGENET_50, 25_557_032, id="imagenet-50", marks=pytest.mark.slow),
    ],
)
def test_number_of_parameters(num_parameters, build, parameters):
    assert num_parameters(build) == parameters


@pytest.mark.parametrize(
    ("build", "image", "features", "logits"),
    [
        pytest.param(CIFAR_18, 32, (4, 4, 4, 512), (4, 10), id="cifar"),
        pytest.param(
            *(IMAGENET_50, 224, (4, 7, 7, 2048), (4, 1000)),
            id="imagenet",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_shapes_at_full_size(products, build, image, features, logits):
    inputs = jax.ShapeDtypeStruct((4, image, image, 3), jnp.float32)
    *_, last_conv, head = products(build, inputs)
    assert last_conv.shape == features
    assert head.shape == logits


@pytest.mark.parametrize(
    ("kind", "reference", "width"),
    [
        pytest.param(BasicBlock, basic, 8, id="basic"),
        pytest.param(BottleneckBlock, bottleneck, 2, id="bottleneck"),
    ],
)
@pytest.mark.parametrize(
    ("channels", "stride", "num_shortcut_layers"),
    [
        pytest.param(8, 1, 0, id="same-shape"),
        pytest.param(8, 2, 2, id="smaller"),
        pytest.param(4, 1, 2, id="more-channels"),
    ],
)
def test_block(
    randomised,
    forward,
    kind,
    reference,
    width,
    channels,
    stride,
    num_shortcut_layers,
):
    block = randomised(functools.partial(kind, channels, width, stride))
    block.train()
    assert len(block.shortcut.layers) == num_shortcut_layers
    # 8: "SAME" would pad it on one side only. 7: sizes that are no multiples of 2.
    x = images(3, 8, 7, channels)
    norm = functools.partial(batch_norm, training=True)
    expected = reference(x.astype(np.float64), block, stride, norm)
    np.testing.assert_allclose(forward(block, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_whole_network(randomised, forward, stem):
    model = randomised(functools.partial(SMALL, stem=stem))
    model.eval()
    inputs = images(2, 16, 14, 3)
    x = inputs.astype(np.float64)
    x = relu(
        batch_norm(conv(x, model.conv, 2 if stem == "imagenet" else 1), model.norm)
    )
    if stem == "imagenet":
        x = max_pool(x)
    x = basic(x, model.blocks[0], stride=1)
    x = basic(x, model.blocks[1], stride=2)
    expected = linear(x.mean((1, 2)), model.head)
    found = forward(model, inputs)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_unknown_stem():
    with pytest.raises(ValueError, match="'cifar' or 'imagenet', got 'mnist'"):
        SMALL(stem="mnist", rngs=nnx.Rngs(0))


def test_running_statistics_move_in_training_alone(randomised, forward):
    model = randomised(functools.partial(SMALL, stem="cifar"))
    x = images(16, 6, 6, 3)

    def statistics():
        return nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))

    before = statistics()
    model.eval()
    forward(model, x)
    jax.tree.map(np.testing.assert_array_equal, statistics(), before)

    model.train()
    forward(model, x)
    y = conv(x.astype(np.float64), model.conv)
    mean = 0.9 * before["norm"]["mean"] + 0.1 * y.mean((0, 1, 2))
    var = 0.9 * before["norm"]["var"] + 0.1 * y.var((0, 1, 2))
    np.testing.assert_allclose(values(model.norm.mean), mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(values(model.norm.var), var, rtol=1e-4)
    moved = jax.tree.map(lambda a, b: bool(np.all(a != b)), statistics(), before)
    assert all(jax.tree.leaves(moved))


@pytest.mark.parametrize("size", [1, 3])
def test_convolutions_start_as_he_et_al_say(size):
    layer = conv_layer(64, 128, size, dtype=jnp.float32, rngs=nnx.Rngs(0))
    kernel = values(layer.kernel) / np.sqrt(2 / (size**2 * 128))
    assert kernel.std() == pytest.approx(1, rel=0.03)
    # Normal and not cut off: 3.6 % of the values are beyond 2.1 deviations.
    assert np.mean(np.abs(kernel) > 2.1) == pytest.approx(0.0357, rel=0.2)


@pytest.mark.slow
def test_bfloat16(products, state_dtypes, randomised, forward):
    exact = functools.partial(SMALL, stem="imagenet")
    build = functools.partial(exact, dtype=jnp.bfloat16)
    inputs = images(8, 16, 16, 3)
    *convolutions, head = products(build, inputs)
    assert len(convolutions) == 1 + 2 + 3
    assert all(product.operand_dtypes == {"bfloat16"} for product in convolutions)
    assert head.operand_dtypes == {"float32"}
    assert state_dtypes(build) == {"float32"}

    found, expected = (forward(randomised(b), inputs) for b in (build, exact))
    assert found.dtype == jnp.float32
    assert 1e-4 < np.max(np.abs(found - expected)) < 0.03 * np.max(np.abs(expected))


def test_bfloat16_does_not_round_the_running_statistics():
    norm = batch_norm_layer(1, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    norm.eval()
    norm.mean[...] = jnp.full(1, 100.25, jnp.float32)  # 100 or 100.5 in bfloat16
    y = norm(jnp.full((1, 1, 1, 1), 100.0, jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(np.float32), -0.25, rtol=0.01)
