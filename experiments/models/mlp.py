"""The perceptron."""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike


class MLP(nnx.Module):
    """Multi-layer perceptron with rectified linear units."""

    def __init__(
        self,
        input_shape: Sequence[int],
        hidden_sizes: Sequence[int],
        num_classes: int,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """Initialises the layers.

        Args:
          input_shape: shape of one example; it is flattened.
          hidden_sizes: widths of the hidden layers.
          num_classes: number of logits.
          dtype: what the hidden layers compute in.
          rngs: source of the initial parameters.
        """
        sizes = [math.prod(input_shape), *hidden_sizes, num_classes]
        dtypes = [dtype] * len(hidden_sizes) + [jnp.float32]
        self.layers = nnx.List(
            nnx.Linear(n_in, n_out, dtype=layer_dtype, rngs=rngs)
            for (n_in, n_out), layer_dtype in zip(
                itertools.pairwise(sizes), dtypes, strict=True
            )
        )

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Returns logits, shape (batch, classes), for inputs of shape (batch, ...)."""
        x = inputs.reshape(inputs.shape[0], -1)
        for layer in self.layers[:-1]:
            x = nnx.relu(layer(x))
        return self.layers[-1](x)
