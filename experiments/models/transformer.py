"""A decoder-only transformer for sequences of tokens."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike


class TransformerBlock(nnx.Module):
    """Causal attention and a perceptron, each after LayerNorm and beside a shortcut."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """Initialises the layers.

        Args:
          width: features of a position; the perceptron's hidden layer has 4 times as
            many.
          num_heads: attention heads; it divides ``width``.
          dtype: what is computed in.
          rngs: source of the initial parameters.
        """
        self.norm1 = nnx.LayerNorm(width, dtype=dtype, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(
            num_heads, width, decode=False, dtype=dtype, rngs=rngs
        )
        self.norm2 = nnx.LayerNorm(width, dtype=dtype, rngs=rngs)
        self.expand = nnx.Linear(width, 4 * width, dtype=dtype, rngs=rngs)
        self.contract = nnx.Linear(4 * width, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps shape (batch, length, width) to the same."""
        x = x + self.attention(self.norm1(x), is_causal=True)
        return x + self.contract(nnx.gelu(self.expand(self.norm2(x))))


class Transformer(nnx.Module):
    """Predicts at every position the next token from those up to it.

    Embeddings with learned positions, blocks with LayerNorm in front ("pre-LN"), a last
    LayerNorm, the transposed embedding without bias. There is no dropout.
    """

    def __init__(
        self,
        vocabulary: int,
        max_length: int,
        *,
        width: int,
        num_layers: int,
        num_heads: int,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """Initialises the layers.

        Args:
          vocabulary: number of tokens, and of logits at a position.
          max_length: positions of the longest sequence.
          width: features of a position.
          num_layers: number of blocks.
          num_heads: attention heads in each; it divides ``width``.
          dtype: what everything but the last layer computes in.
          rngs: source of the initial parameters.
        """
        self.tokens = nnx.Embed(vocabulary, width, rngs=rngs)
        self.positions = nnx.Embed(max_length, width, rngs=rngs)
        self.blocks = nnx.List(
            TransformerBlock(width, num_heads, dtype=dtype, rngs=rngs)
            for _ in range(num_layers)
        )
        self.norm = nnx.LayerNorm(width, dtype=dtype, rngs=rngs)
        self.max_length = max_length
        self.dtype = dtype

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Returns logits, shape (batch, length, vocabulary).

        Args:
          inputs: tokens from 0 to vocabulary - 1, shape (batch, length), int32.

        Raises:
          ValueError: there are more positions than ``max_length``.
        """
        length = inputs.shape[-1]
        if length > self.max_length:
            raise ValueError(
                f"the sequences have {length} positions, the network has"
                f" {self.max_length}; build it with max_length={length} or more."
            )
        positions = jnp.arange(length, dtype=jnp.int32)
        x = (self.tokens(inputs) + self.positions(positions)).astype(self.dtype)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x).astype(jnp.float32)
        return self.tokens.attend(x)
