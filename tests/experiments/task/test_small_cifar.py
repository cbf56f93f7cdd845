"""CIFAR-10 in small: the files are in the official format, and can be learnt."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.data import cifar
from experiments.task import small_cifar as rehearsal


def test_the_files_are_in_the_official_format(tmp_path):
    archive = rehearsal.write_cifar10(tmp_path, train_records=8, test_records=3)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes == {name: 3073 * records for name, records in archive.files.items()}
    assert list(archive.files) == list(cifar.CIFAR10.files)
    dataset = cifar.load(archive, tmp_path)
    assert dataset.train_inputs.shape == (40, 32, 32, 3)
    assert dataset.test_inputs.shape == (3, 32, 32, 3)
    assert dataset.train_inputs.dtype == jnp.uint8


def test_the_images_are_the_same_every_time(tmp_path):
    one, other = (rehearsal.load_cifar10(tmp_path / name) for name in ("a", "b"))
    np.testing.assert_array_equal(one.train_inputs, other.train_inputs)
    np.testing.assert_array_equal(one.train_labels, other.train_labels)


def test_the_colour_tells_the_class(tmp_path):
    dataset = rehearsal.load_cifar10(tmp_path)
    train, test = (
        np.mean(x, axis=(1, 2)) for x in (dataset.train_inputs, dataset.test_inputs)
    )
    labels = np.asarray(dataset.train_labels)
    means = np.stack([train[labels == k].mean(axis=0) for k in range(10)])
    nearest = np.linalg.norm(test[:, None] - means, axis=-1).argmin(axis=-1)
    assert np.mean(nearest == dataset.test_labels) > 0.8


def test_the_network_is_narrow_and_its_batch_divides_among_eight(tmp_path):
    workload = rehearsal.small_workload()
    dataset = rehearsal.load_cifar10(tmp_path)
    model = nnx.eval_shape(lambda: workload.model(dataset, nnx.Rngs(0)))
    images = jnp.zeros((2, 32, 32, 3))
    assert nnx.eval_shape(lambda m: m(images), model).shape == (2, 10)
    assert workload.batch_size % 8 == 0
    assert len(dataset.train_labels) % workload.batch_size == 0
