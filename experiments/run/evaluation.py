"""Loss and error of a network on a data set."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from experiments.run.devices import ONE_DEVICE, Devices
from experiments.task.workloads.workload import as_it_is

EVALUATION_BATCH_SIZE = 1000


def evaluate(
    model: nnx.Module,
    inputs: jax.Array,
    labels: jax.Array,
    preprocess: Callable[[jax.Array], jax.Array] = as_it_is,
    batch_size: int = EVALUATION_BATCH_SIZE,
    devices: Devices = ONE_DEVICE,
) -> tuple[jax.Array, jax.Array]:
    """Evaluates on every example, those of the last partial batch too.

    Args:
      model: maps preprocessed inputs to logits.
      inputs: shape (examples, ...), as in the data set.
      labels: shape (examples, ...), int32.
      preprocess: makes the network's inputs of the data set's.
      batch_size: examples per forward pass, if there are as many; rounded up for all
        devices' shares to be equal.
      devices: each computes its share of every batch.

    Returns:
      Mean loss and error in percent over all labels, shape (), float32.
    """
    model.eval()
    size = len(labels)
    batch_size = devices.round_up(min(batch_size, size))
    padding = -size % batch_size

    def batched(x: jax.Array) -> jax.Array:
        x = jnp.pad(x, [(0, padding)] + [(0, 0)] * (x.ndim - 1))
        return x.reshape(-1, batch_size, *x.shape[1:])

    def sums(batch):
        inputs, labels, valid = jax.tree.map(devices.divide, batch)
        return batch_sums(model, preprocess(inputs), labels, valid)

    valid = (jnp.arange(size + padding) < size).reshape(-1, batch_size)
    losses, wrong = jax.lax.map(sums, (batched(inputs), batched(labels), valid))
    return losses.sum() / labels.size, 100.0 * wrong.sum() / labels.size


def batch_sums(
    model: nnx.Module, inputs: jax.Array, labels: jax.Array, valid: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Sums over the examples of a batch that are valid.

    Args:
      model: maps inputs to logits.
      inputs: shape (batch, ...), what the network takes.
      labels: shape (batch, ...), int32.
      valid: shape (batch,), bool.

    Returns:
      The loss, shape (), float32, and the number of wrong predictions, shape (), int32.
    """
    logits = model(inputs)
    loss = cross_entropy(logits, labels)
    wrong = jnp.argmax(logits, axis=-1) != labels
    valid = valid.reshape(-1, *[1] * (labels.ndim - 1))  # for all positions
    # Select, not multiply: what the padding gives must not matter.
    return jnp.sum(loss, where=valid), jnp.sum(wrong, where=valid)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy in nats, of the shape of the labels."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
