"""A data set as every loader returns it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.errors import UserError


class Dataset(NamedTuple):
    """A data set on the device: what goes into a network, and the classes to predict.

    Inputs have any dtype; the workload makes of them what its network takes. Labels
    have the shape (examples,), or (examples, positions) where each position is
    classified.
    """

    name: str
    source: str  # where it came from, for people
    num_classes: int
    train_inputs: jax.Array  # shape (train examples, ...)
    train_labels: jax.Array  # shape (train examples, ...), int32
    test_inputs: jax.Array  # shape (test examples, ...)
    test_labels: jax.Array  # shape (test examples, ...), int32
    # Held out of the training examples; None: nothing is.
    validation_inputs: jax.Array | None = None
    validation_labels: jax.Array | None = None

    def __str__(self) -> str:
        sizes = [f"{len(self.train_labels)} train"]
        if self.validation_labels is not None:
            sizes.append(f"{len(self.validation_labels)} validation")
        sizes.append(f"{len(self.test_labels)} test")
        return f"{self.name} ({', '.join(sizes)}) from {self.source}"

    @property
    def arrays(self) -> dict[str, jax.Array | None]:
        """The arrays by name: what a jitted function takes."""
        return {
            name: value
            for name, value in self._asdict().items()
            if name.endswith(("_inputs", "_labels"))
        }

    def hold_out(self, fraction: float) -> "Dataset":
        """Takes the last training examples out as a validation set.

        The last in the data set's order, and so the same for every seed. Neighbours in
        a text stay together, which random ones would not.

        Args:
          fraction: of the training examples, from 0 to less than 1.

        Returns:
          The data set; with a fraction of 0 as it is.

        Raises:
          UserError: the fraction leaves no example to one of the two.
        """
        if fraction == 0:
            return self
        size = len(self.train_labels)
        kept = size - held_out_count(size, fraction)
        return self._replace(
            train_inputs=self.train_inputs[:kept],
            train_labels=self.train_labels[:kept],
            validation_inputs=self.train_inputs[kept:],
            validation_labels=self.train_labels[kept:],
        )


def held_out_count(size: int, fraction: float) -> int:
    """How many of ``size`` training examples a validation set takes.

    Raises:
      UserError: it would take none or all.
    """
    count = round(fraction * size)
    if not 0 < count < size:
        raise UserError(
            f"validation_fraction {fraction} divides {size} training examples into"
            f" {size - count} and {count}: choose one that leaves some to both."
        )
    return count


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
        train_inputs=images(train[0]),
        train_labels=labels(train[1]),
        test_inputs=images(test[0]),
        test_labels=labels(test[1]),
    )
