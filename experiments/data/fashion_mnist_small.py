"""Fashion-MNIST for convolutions on a CPU: fewer images, a quarter of the pixels."""

from pathlib import Path

import numpy as np

from experiments.data.dataset import Dataset, standardised
from experiments.data.fashion_mnist import read_fashion_mnist
from experiments.errors import UserError


def load_fashion_mnist_small(folder: Path | None = None, *, train_size: int) -> Dataset:
    """Loads the first training images and all test images, halved in size.

    Args:
      folder: as of :func:`experiments.data.fashion_mnist.load_fashion_mnist`.
      train_size: training images, the first ones in the file.

    Returns:
      The data set, images of shape (examples, 14, 14, 1): the means of 2 x 2 pixels.

    Raises:
      DataUnavailableError: there are no files and the download failed.
      UserError: files are missing or damaged, or hold fewer images.
    """
    source, (images, labels), test = read_fashion_mnist(folder)
    if not 1 <= train_size <= len(images):
        raise UserError(
            f"train_size must be from 1 to {len(images)}, the training images of"
            f" Fashion-MNIST, got {train_size}."
        )
    return standardised(
        "Fashion-MNIST, 14 x 14",
        source,
        num_classes=10,
        train=(_halved(images[:train_size]), labels[:train_size]),
        test=(_halved(test[0]), test[1]),
    )


def _halved(images: np.ndarray) -> np.ndarray:
    """Maps shape (examples, 28, 28), uint8, to (examples, 14, 14, 1), float64."""
    count, height, width = images.shape
    blocks = images.reshape(count, height // 2, 2, width // 2, 2)
    return blocks.mean(axis=(2, 4))[..., None]
