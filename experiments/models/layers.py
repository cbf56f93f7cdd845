"""The layers of the residual networks, as their authors' PyTorch programs set them."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

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


def _as_they_are(args: tuple[Any, ...], *, dtype: Any = None, inexact: bool = True):
    """Keeps Flax from rounding the running statistics to bfloat16 in evaluation.

    BatchNorm then computes in the widest dtype, float32, and rounds its result alone.
    """
    del dtype, inexact
    return args


def pooled(x: Any) -> Any:
    """Returns the mean over the image, shape (batch, channels), float32."""
    return jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
