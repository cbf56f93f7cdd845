"""Networks, as Flax NNX modules that map a batch of inputs to logits."""

import itertools
import math
from collections.abc import Sequence

import jax
from flax import nnx


class MLP(nnx.Module):
    """Multi-layer perceptron with rectified linear units."""

    def __init__(
        self,
        input_shape: Sequence[int],
        hidden_sizes: Sequence[int],
        num_classes: int,
        *,
        rngs: nnx.Rngs,
    ):
        """Initialises the layers.

        Args:
          input_shape: shape of one example; it is flattened.
          hidden_sizes: widths of the hidden layers.
          num_classes: number of logits.
          rngs: source of the initial parameters.
        """
        sizes = [math.prod(input_shape), *hidden_sizes, num_classes]
        self.layers = nnx.List(
            nnx.Linear(n_in, n_out, rngs=rngs)
            for n_in, n_out in itertools.pairwise(sizes)
        )

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Returns logits, shape (batch, classes), for inputs of shape (batch, ...)."""
        x = inputs.reshape(inputs.shape[0], -1)
        for layer in self.layers[:-1]:
            x = nnx.relu(layer(x))
        return self.layers[-1](x)
