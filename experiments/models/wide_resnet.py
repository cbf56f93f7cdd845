"""Wide residual networks (Zagoruyko, Komodakis, BMVC 2016) for 32x32 images."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from experiments.models.layers import batch_norm, conv, pooled


class WideBlock(nnx.Module):
    """Two 3x3 convolutions, each after BatchNorm and ReLU, beside a shortcut."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        stride: int,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """Initialises the layers.

        Args:
          n_in: channels of the input.
          n_out: channels of the convolutions and of the output.
          stride: of the first convolution and of the shortcut.
          dtype: what is computed in.
          rngs: source of the initial parameters.
        """
        self.norm1 = batch_norm(n_in, dtype=dtype, rngs=rngs)
        self.conv1 = conv(n_in, n_out, 3, stride, dtype=dtype, rngs=rngs)
        self.norm2 = batch_norm(n_out, dtype=dtype, rngs=rngs)
        self.conv2 = conv(n_out, n_out, 3, dtype=dtype, rngs=rngs)
        self.shortcut = nnx.data(None)
        if stride != 1 or n_in != n_out:
            self.shortcut = conv(n_in, n_out, 1, stride, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps shape (batch, height, width, channels) to the output's."""
        y = nnx.relu(self.norm1(x))
        # Where the shape changes, both paths share the first BatchNorm and ReLU.
        shortcut = x if self.shortcut is None else self.shortcut(y)
        y = nnx.relu(self.norm2(self.conv1(y)))
        return self.conv2(y) + shortcut


class WideResNet(nnx.Module):
    """WRN-depth-widen_factor: a convolution, three groups of blocks, a linear layer."""

    def __init__(
        self,
        depth: int,
        widen_factor: int,
        num_classes: int,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """Initialises the layers.

        Args:
          depth: 6n + 4, for n blocks per group.
          widen_factor: the groups have 16, 32 and 64 times as many channels.
          num_classes: number of logits.
          dtype: what everything but the last layer computes in.
          rngs: source of the initial parameters.

        Raises:
          ValueError: no n fits the depth.
        """
        blocks_per_group, left = divmod(depth - 4, 6)
        if left or blocks_per_group < 1:
            raise ValueError(
                f"depth must be 6n + 4 with n >= 1 (10, 16, 22, 28, ...), got {depth}."
            )
        self.conv = conv(3, 16, 3, dtype=dtype, rngs=rngs)
        blocks = []
        n_in = 16
        for group in range(3):
            n_out = 16 * 2**group * widen_factor
            for index in range(blocks_per_group):
                stride = 2 if group > 0 and index == 0 else 1
                blocks.append(WideBlock(n_in, n_out, stride, dtype=dtype, rngs=rngs))
                n_in = n_out
        self.blocks = nnx.List(blocks)
        self.norm = batch_norm(n_in, dtype=dtype, rngs=rngs)
        self.head = nnx.Linear(n_in, num_classes, rngs=rngs)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Returns logits, shape (batch, classes).

        Args:
          inputs: shape (batch, height, width, 3).
        """
        x = self.conv(inputs)
        for block in self.blocks:
            x = block(x)
        return self.head(pooled(nnx.relu(self.norm(x))))
