"""Data that do not fit the device: batches that are read while others are trained on.

Grain reads, shuffles and batches. Every batch is a function of the seed and of its
number, so that a run goes on at any batch, with any number of processes.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import grain
import numpy as np

from experiments.data.dataset import held_out_count
from experiments.data.image_folder import ImageFolder

NO_LABEL = -1
_MOST_THREADS = 16


class Batch(TypedDict):
    """This process's share of a batch."""

    inputs: np.ndarray  # shape (share, ...)
    labels: np.ndarray  # shape (share,), int32; -1 where there is no example


@dataclass(frozen=True)
class StreamedDataset:
    """A classification data set on disk.

    Attributes:
      name: for people.
      source: where it came from, for people.
      num_classes: number of classes.
      input_shape: shape of one input.
      train: the training images.
      test: the test images.
      read_train: from a file and a generator to an input, uint8; all that is random in
        it comes from the generator.
      read_test: from a file to an input.
      validation: training images that are held out, if any are.
    """

    name: str
    source: str
    num_classes: int
    input_shape: tuple[int, ...]
    train: ImageFolder
    test: ImageFolder
    read_train: Callable[[Path, np.random.Generator], np.ndarray]
    read_test: Callable[[Path], np.ndarray]
    validation: ImageFolder | None = None

    @property
    def train_labels(self) -> np.ndarray:
        """Shape (train examples,), int32."""
        return self.train.labels

    @property
    def test_labels(self) -> np.ndarray:
        """Shape (test examples,), int32."""
        return self.test.labels

    def __str__(self) -> str:
        sizes = [f"{len(self.train)} train"]
        if self.validation is not None:
            sizes.append(f"{len(self.validation)} validation")
        sizes.append(f"{len(self.test)} test")
        return f"{self.name} ({', '.join(sizes)}) from {self.source}"

    def hold_out(self, fraction: float) -> "StreamedDataset":
        """Takes training images out as a validation set.

        They are evenly spaced in the order of the files, so that every class gives its
        share, and the same for every seed.

        Args:
          fraction: of the training images, from 0 to less than 1.

        Returns:
          The data set; with a fraction of 0 as it is.

        Raises:
          UserError: the fraction leaves no image to one of the two.
        """
        if fraction == 0:
            return self
        size = len(self.train)
        count = held_out_count(size, fraction)
        held_out = np.zeros(size, bool)
        held_out[(np.arange(count) * size + size // 2) // count] = True
        return replace(
            self,
            train=self.train.take(np.flatnonzero(~held_out)),
            validation=self.train.take(np.flatnonzero(held_out)),
        )

    def train_batches(
        self,
        seed: int,
        batch_size: int,
        process_index: int = 0,
        process_count: int = 1,
    ) -> grain.DatasetIterator[Batch]:
        """Returns the training batches, epoch after epoch without end.

        Each epoch has an order of its own. The examples that do not fill a batch are
        left out of it, others in each.

        Args:
          seed: of the order and of what is random in reading.
          batch_size: examples in a batch of all processes, a multiple of their number.
          process_index: which process this is.
          process_count: how many processes share each batch.

        Returns:
          Grain's iterator over this process's shares, whose ``get_state`` and
          ``set_state`` are the same in all processes.
        """
        # Grain's shuffle orders epoch e of seed s as epoch 0 of seed s + e: with the
        # seeds as they are, neighbouring ones would share nearly all of their orders.
        order_seed, read_seed = np.random.SeedSequence(seed).generate_state(2)
        steps_per_epoch = len(self.train) // batch_size

        def read(index: int, rng: np.random.Generator) -> Batch:
            file = self.train.root / self.train.files[index]
            return Batch(
                inputs=self.read_train(file, rng), labels=self.train.labels[index]
            )

        batches = (
            grain.MapDataset.range(len(self.train))
            .shuffle(seed=int(order_seed))[: steps_per_epoch * batch_size]
            .random_map(read, seed=int(read_seed))
            .batch(batch_size // process_count)[process_index::process_count]
            .repeat()
        )
        return iter(batches.to_iter_dataset(_read_options()))

    def in_order(
        self,
        images: ImageFolder,
        batch_size: int,
        process_index: int = 0,
        process_count: int = 1,
    ) -> grain.DatasetIterator[Batch]:
        """Returns images for evaluation in order; the last batch is filled up.

        Args:
          images: those of the test or of the validation.
          batch_size: as for :meth:`train_batches`, as are the others.
          process_index: which process this is.
          process_count: how many processes share each batch.

        Returns:
          Grain's iterator over this process's shares; where there is no example the
          label is -1.
        """

        def read(index: int) -> Batch:
            if index >= len(images):
                nothing = np.zeros(self.input_shape, np.uint8)
                return Batch(inputs=nothing, labels=np.full((), NO_LABEL, np.int32))
            inputs = self.read_test(images.root / images.files[index])
            return Batch(inputs=inputs, labels=images.labels[index])

        batches = (
            grain.MapDataset.range(len(images) + -len(images) % batch_size)
            .map(read)
            .batch(batch_size // process_count)[process_index::process_count]
        )
        return iter(batches.to_iter_dataset(_read_options()))


def _read_options() -> grain.ReadOptions:
    # Threads, as decoding and scaling release the interpreter's lock; one for a batch.
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    return grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
