"""Residual networks (He, Zhang, Ren, Sun, CVPR 2016), the usual PyTorch versions.

Of the paper's shortcuts option B: where the shape changes, a 1x1 convolution with
BatchNorm; the identity elsewhere.
"""

import functools
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from experiments.models.layers import batch_norm, conv, pooled

Stem = Literal["cifar", "imagenet"]


class BasicBlock(nnx.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1  # output channels per ``width``

    def __init__(
        self,
        n_in: int,
        width: int,
        stride: int,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """Initialises the layers.

        Args:
          n_in: channels of the input.
          width: channels of the convolutions and of the output.
          stride: of the first convolution and of the shortcut.
          dtype: what is computed in.
          rngs: source of the initial parameters.
        """
        self.conv1 = conv(n_in, width, 3, stride, dtype=dtype, rngs=rngs)
        self.norm1 = batch_norm(width, dtype=dtype, rngs=rngs)
        self.conv2 = conv(width, width, 3, dtype=dtype, rngs=rngs)
        self.norm2 = batch_norm(width, dtype=dtype, rngs=rngs)
        self.shortcut = _shortcut(n_in, width, stride, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps shape (batch, height, width, channels) to the output's."""
        y = nnx.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return nnx.relu(y + self.shortcut(x))


class BottleneckBlock(nnx.Module):
    """Convolutions 1x1, 3x3 and 1x1 beside a shortcut.

    The 3x3 convolution has the stride, as in PyTorch's ResNet-50 ("v1.5"); the paper
    has it in the first one.
    """

    expansion = 4

    def __init__(
        self,
        n_in: int,
        width: int,
        stride: int,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """Initialises the layers.

        Args:
          n_in: channels of the input.
          width: channels of the first two convolutions; the output has 4 times as many.
          stride: of the 3x3 convolution and of the shortcut.
          dtype: what is computed in.
          rngs: source of the initial parameters.
        """
        n_out = self.expansion * width
        self.conv1 = conv(n_in, width, 1, dtype=dtype, rngs=rngs)
        self.norm1 = batch_norm(width, dtype=dtype, rngs=rngs)
        self.conv2 = conv(width, width, 3, stride, dtype=dtype, rngs=rngs)
        self.norm2 = batch_norm(width, dtype=dtype, rngs=rngs)
        self.conv3 = conv(width, n_out, 1, dtype=dtype, rngs=rngs)
        self.norm3 = batch_norm(n_out, dtype=dtype, rngs=rngs)
        self.shortcut = _shortcut(n_in, n_out, stride, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps shape (batch, height, width, channels) to the output's."""
        y = nnx.relu(self.norm1(self.conv1(x)))
        y = nnx.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        return nnx.relu(y + self.shortcut(x))


def _shortcut(
    n_in: int, n_out: int, stride: int, *, dtype: DTypeLike, rngs: nnx.Rngs
) -> nnx.Sequential:
    if stride == 1 and n_in == n_out:
        return nnx.Sequential()
    return nnx.Sequential(
        conv(n_in, n_out, 1, stride, dtype=dtype, rngs=rngs),
        batch_norm(n_out, dtype=dtype, rngs=rngs),
    )


class ResNet(nnx.Module):
    """Stem, stages of blocks, mean over the image, linear layer.

    In the first block of every stage but the first the image shrinks by 2.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[BottleneckBlock],
        stage_sizes: Sequence[int],
        num_classes: int,
        *,
        stem: Stem,
        width: int = 64,
        in_channels: int = 3,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """Initialises the layers.

        Args:
          block: what the stages are made of.
          stage_sizes: blocks per stage.
          num_classes: number of logits.
          stem: "cifar", a 3x3 convolution; "imagenet", a 7x7 convolution and a 3x3
            maximum, each of stride 2.
          width: channels of the stem and of the first stage's blocks; it doubles from
            stage to stage.
          in_channels: channels of an image.
          dtype: what everything but the last layer computes in.
          rngs: source of the initial parameters.

        Raises:
          ValueError: there is no such stem.
        """
        if stem not in ("cifar", "imagenet"):
            raise ValueError(f"stem must be 'cifar' or 'imagenet', got {stem!r}.")
        self.stem = stem
        size, stride = (3, 1) if stem == "cifar" else (7, 2)
        self.conv = conv(in_channels, width, size, stride, dtype=dtype, rngs=rngs)
        self.norm = batch_norm(width, dtype=dtype, rngs=rngs)
        blocks = []
        n_in = width
        for stage, num_blocks in enumerate(stage_sizes):
            for index in range(num_blocks):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(
                    block(n_in, width * 2**stage, stride, dtype=dtype, rngs=rngs)
                )
                n_in = width * 2**stage * block.expansion
        self.blocks = nnx.List(blocks)
        self.head = nnx.Linear(n_in, num_classes, rngs=rngs)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Returns logits, shape (batch, classes).

        Args:
          inputs: shape (batch, height, width, channels).
        """
        x = nnx.relu(self.norm(self.conv(inputs)))
        if self.stem == "imagenet":
            # "SAME" would pad on one side only. Nothing is below 0 after the ReLU.
            x = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
            x = nnx.max_pool(x, (3, 3), strides=(2, 2))
        for block in self.blocks:
            x = block(x)
        return self.head(pooled(x))


# (num_classes, *, stem, dtype, rngs) -> ResNet. He et al., "Deep Residual Learning for
# Image Recognition", 2016, Table 1.
resnet18 = functools.partial(ResNet, BasicBlock, (2, 2, 2, 2))
resnet34 = functools.partial(ResNet, BasicBlock, (3, 4, 6, 3))
resnet50 = functools.partial(ResNet, BottleneckBlock, (3, 4, 6, 3))
