"""The small Fashion-MNIST."""

import numpy as np
import pytest

from experiments.data import fashion_mnist
from experiments.data.fashion_mnist_small import load_fashion_mnist_small
from experiments.errors import UserError


@pytest.fixture
def arrays():
    """40 training and 10 test images, with labels."""
    rng = np.random.default_rng(0)
    return {
        "train-images-idx3-ubyte.gz": rng.integers(0, 256, (40, 28, 28), np.uint8),
        "train-labels-idx1-ubyte.gz": rng.integers(0, 10, 40, np.uint8),
        "t10k-images-idx3-ubyte.gz": rng.integers(0, 256, (10, 28, 28), np.uint8),
        "t10k-labels-idx1-ubyte.gz": rng.integers(0, 10, 10, np.uint8),
    }


@pytest.fixture
def folder(tmp_path, write_idx, monkeypatch, arrays):
    monkeypatch.setattr(fashion_mnist, "TRAIN_SIZE", 40)
    monkeypatch.setattr(fashion_mnist, "TEST_SIZE", 10)
    for name, array in arrays.items():
        write_idx(tmp_path / name, array)
    return tmp_path


def test_first_images_as_means_of_four_pixels(folder, arrays):
    dataset = load_fashion_mnist_small(folder, train_size=30)
    train, train_labels, test, test_labels = arrays.values()

    def halved(images):
        x = images.astype(float)
        rows = (x[:, ::2] + x[:, 1::2]) / 2
        return ((rows[:, :, ::2] + rows[:, :, 1::2]) / 2)[..., np.newaxis]

    mean, std = halved(train[:30]).mean(), halved(train[:30]).std()
    for found, images in [
        (dataset.train_inputs, train[:30]),
        (dataset.test_inputs, test),
    ]:
        expected = (halved(images) - mean) / std
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(dataset.train_labels, train_labels[:30])
    np.testing.assert_array_equal(dataset.test_labels, test_labels)
    assert dataset.train_inputs.shape == (30, 14, 14, 1)
    assert dataset.train_inputs.dtype == np.float32


@pytest.mark.parametrize("train_size", [0, 41])
def test_images_that_are_not_there(folder, train_size):
    with pytest.raises(UserError, match=f"from 1 to 40, .* got {train_size}"):
        load_fashion_mnist_small(folder, train_size=train_size)
