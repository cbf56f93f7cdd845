"""A recurrent network that classifies sequences of tokens."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike


class GRU(nnx.Module):
    """Embedding, gated recurrent units (Cho et al., EMNLP 2014), a linear layer.

    The class is told from the state after the last token.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        num_classes: int,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """Initialises the layers.

        Args:
          vocabulary: number of tokens.
          width: features of an embedded token, and units of the state.
          num_classes: number of logits.
          dtype: what the recurrent layer computes in.
          rngs: source of the initial parameters.
        """
        self.tokens = nnx.Embed(vocabulary, width, rngs=rngs)
        self.cell = nnx.GRUCell(width, width, dtype=dtype, rngs=rngs)
        self.head = nnx.Linear(width, num_classes, rngs=rngs)
        self.dtype = dtype

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Returns logits, shape (batch, classes).

        Args:
          inputs: tokens from 0 to vocabulary - 1, shape (batch, length), int32.
        """
        x = self.tokens(inputs).astype(self.dtype)
        # Not nnx.RNN: its scan takes no network from outside of a `jax.lax.map`.
        state, _ = jax.lax.scan(
            lambda state, token: (self.cell(state, token)[0], None),
            jnp.zeros_like(x[:, 0]),
            jnp.swapaxes(x, 0, 1),
        )
        return self.head(state.astype(jnp.float32))
