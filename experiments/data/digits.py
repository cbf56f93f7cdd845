"""The 1797 handwritten digits that come with scikit-learn, 8 x 8 grey values."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits as load_bundled_digits
from sklearn.model_selection import train_test_split

from experiments.data.dataset import Dataset, standardised

TEST_SIZE = 450


def load_digits(folder: Path | None = None) -> Dataset:
    """Loads the digits, split once and for all, with equal shares of the classes.

    Args:
      folder: not used; the digits need no files.

    Returns:
      The data set, images of shape (examples, 8, 8): 1347 train, 450 test.
    """
    del folder
    pixels, labels = load_bundled_digits(return_X_y=True)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_SIZE, stratify=labels, random_state=0
    )
    images, labels = np.reshape(pixels, (-1, 8, 8)), np.asarray(labels)
    return standardised(
        "Digits",
        "scikit-learn",
        num_classes=10,
        train=(images[train], labels[train]),
        test=(images[test], labels[test]),
    )
