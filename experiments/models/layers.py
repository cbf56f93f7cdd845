"""The layers of the residual networks, as their authors' PyTorch programs set them.

But for the last layer, which is initialised as Flax does it.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

A = TypeVar("A", bound=tuple)
M = TypeVar("M", bound=nnx.Module)

# Normal with variance 2 / (kernel area * output channels), which keeps the variance of
# the gradients through rectified linear units (He, Zhang, Ren, Sun, ICCV 2015).
_he_fan_out = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")


def conv(
    n_in: int,
    n_out: int,
    size: int,
    stride: int = 1,
    *,
    dtype: DTypeLike,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """A square convolution without bias.

    Zeros are padded alike on both sides. ("SAME" pads a stride of 2 on one side only,
    which shifts the image by a pixel against PyTorch's networks.)
    """
    return nnx.Conv(
        n_in,
        n_out,
        kernel_size=(size, size),
        strides=(stride, stride),
        padding=size // 2,
        use_bias=False,
        kernel_init=_he_fan_out,
        dtype=dtype,
        rngs=rngs,
    )


def batch_norm(channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.BatchNorm:
    """BatchNorm whose running statistics keep 0.9 of themselves in every step.

    Flax collects the variance of the n values of a batch as their mean square, PyTorch
    n / (n - 1) times that; n counts examples and positions.
    """
    return nnx.BatchNorm(
        channels,
        momentum=0.9,
        epsilon=1e-5,
        dtype=dtype,
        promote_dtype=_as_they_are,
        rngs=rngs,
    )


def _as_they_are(args: A, /, *, dtype: Any = None, inexact: bool = True) -> A:
    """Keeps Flax from rounding the running statistics to bfloat16 in evaluation.

    BatchNorm then computes in the widest dtype, float32, and rounds its result alone.
    """
    del dtype, inexact
    return args


def pooled(x: jax.Array) -> jax.Array:
    """Returns the mean over the image, shape (batch, channels), float32."""
    return jnp.mean(x, axis=(1, 2), dtype=jnp.float32)


def with_matrix_products(model: M) -> M:
    """Has a network's convolutions computed as matrix products; returns the network.

    For CPUs: XLA has no fast code there for convolutions inside a loop, which an epoch
    is. A training step of a small ResNet on 64 images of 14 x 14 pixels took 61 ms, and
    as matrix products 13 ms (one core; 9 ms outside of a loop).

    Args:
      model: its convolutions are those of :func:`conv`.
    """
    for _, module in nnx.iter_modules(model):
        if isinstance(module, nnx.Conv):
            module.conv_general_dilated = _conv_as_product
    return model


def _conv_as_product(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **_: Any,  # dilation and groups, which `conv` has none of
) -> jax.Array:
    """As lax.conv_general_dilated: the kernel times what each of its places sees."""
    size, stride = len(kernel), strides[0]
    x = jnp.pad(x, [(0, 0), *padding, (0, 0)])
    height, width = ((n - size) // stride + 1 for n in x.shape[1:3])
    seen = [
        x[
            :,
            row : row + stride * (height - 1) + 1 : stride,
            column : column + stride * (width - 1) + 1 : stride,
        ]
        for row in range(size)
        for column in range(size)
    ]
    return jnp.concatenate(seen, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])
