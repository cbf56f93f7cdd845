"""What every loader returns."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Dataset(NamedTuple):
    """A classification data set on the device, with standardised inputs."""

    name: str
    source: str  # where it came from, for people
    num_classes: int
    train_images: jax.Array  # shape (train examples, ...), float32
    train_labels: jax.Array  # shape (train examples,), int32
    test_images: jax.Array  # shape (test examples, ...), float32
    test_labels: jax.Array  # shape (test examples,), int32

    def __str__(self) -> str:
        sizes = f"{len(self.train_labels)} train, {len(self.test_labels)} test"
        return f"{self.name} ({sizes}) from {self.source}"


def standardised(
    name: str,
    source: str,
    num_classes: int,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
) -> Dataset:
    """Puts images and labels on the device, images as (x - mean) / std.

    Args:
      name: the data set's name, for people.
      source: where the files came from, for people.
      num_classes: number of classes.
      train: images of shape (examples, ...) and labels of shape (examples,), any
        dtypes.
      test: the same.

    Returns:
      The data set. Mean and standard deviation are those of all pixels of the training
      images, so that nothing of the test images gets into the inputs.
    """
    mean = np.mean(train[0], dtype=np.float64)
    std = np.std(train[0], dtype=np.float64)

    def images(x: np.ndarray) -> jax.Array:
        scaled = x.astype(np.float32)
        scaled -= np.float32(mean)
        scaled /= np.float32(std)
        return jnp.asarray(scaled)

    def labels(y: np.ndarray) -> jax.Array:
        return jnp.asarray(y.astype(np.int32))

    return Dataset(
        name=name,
        source=source,
        num_classes=num_classes,
        train_images=images(train[0]),
        train_labels=labels(train[1]),
        test_images=images(test[0]),
        test_labels=labels(test[1]),
    )
