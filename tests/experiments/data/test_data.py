"""Where data come from, and that damaged files are noticed."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pooch
import pytest

from experiments.data import fashion_mnist
from experiments.data.digits import load_digits
from experiments.data.idx import read_idx
from experiments.errors import DataUnavailableError, UserError

ARRAY = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)


@pytest.fixture
def idx_file(tmp_path, write_idx):
    return write_idx(tmp_path / "array.gz", ARRAY)


@pytest.fixture
def fashion_folder(tmp_path, write_idx, monkeypatch):
    """Fashion-MNIST in the real format, with 40 train and 10 test images."""
    monkeypatch.setattr(fashion_mnist, "TRAIN_SIZE", 40)
    monkeypatch.setattr(fashion_mnist, "TEST_SIZE", 10)
    folder = tmp_path / "fashion"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, size in (("train", 40), ("t10k", 10)):
        images = rng.integers(0, 256, (size, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, size, dtype=np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)
    return folder


@pytest.fixture
def nothing_found(tmp_path, monkeypatch):
    """A machine without the files and without a network."""

    def refuse(url, *args, **kwargs):
        raise ConnectionError(f"no route to {url}")

    monkeypatch.delenv(fashion_mnist.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", tmp_path / "no such folder")
    monkeypatch.setattr(pooch, "retrieve", refuse)


def test_reads_an_idx_file(idx_file):
    np.testing.assert_array_equal(read_idx(idx_file, ARRAY.shape), ARRAY)


def test_idx_file_with_a_truncated_stream(idx_file):
    idx_file.write_bytes(idx_file.read_bytes()[:-12])
    with pytest.raises(UserError, match=r"array\.gz is truncated"):
        read_idx(idx_file, ARRAY.shape)


@pytest.mark.parametrize(("values", "found"), [(23, 23), (25, 25), (0, 0)])
def test_idx_file_with_a_wrong_number_of_values(idx_file, values, found):
    content = gzip.decompress(idx_file.read_bytes())
    content = (content + b"\0")[: 16 + values]
    idx_file.write_bytes(gzip.compress(content))
    with pytest.raises(UserError, match=rf"announces 24 values, it holds {found}\b"):
        read_idx(idx_file, ARRAY.shape)


@pytest.mark.parametrize("size", [0, 3, 9])
def test_idx_file_that_ends_in_its_header(idx_file, size):
    content = gzip.decompress(idx_file.read_bytes())
    idx_file.write_bytes(gzip.compress(content[:size]))
    with pytest.raises(UserError, match=r"no IDX file|ends within its header"):
        read_idx(idx_file, ARRAY.shape)


@pytest.mark.parametrize(
    "magic",
    [
        pytest.param(bytes((0, 0, 8, 1)), id="labels-for-images"),
        pytest.param(bytes((0, 0, 13, 3)), id="floats-for-bytes"),
        pytest.param(b"PK\3\4", id="zip"),
    ],
)
def test_idx_file_with_a_wrong_magic_number(idx_file, magic):
    content = gzip.decompress(idx_file.read_bytes())
    idx_file.write_bytes(gzip.compress(magic + content[4:]))
    with pytest.raises(UserError, match=f"with {magic.hex(' ')} instead .* Get it"):
        read_idx(idx_file, ARRAY.shape)


def test_idx_file_of_another_shape(idx_file):
    with pytest.raises(UserError, match=r"\(4, 3, 2\), expected \(5, 3, 2\)\. Get it"):
        read_idx(idx_file, (5, 3, 2))


def test_idx_file_that_is_not_compressed(idx_file):
    idx_file.write_bytes(b"<html>404 Not Found</html>")
    with pytest.raises(UserError, match=r"cannot be read as a gzip .* Get it anew"):
        read_idx(idx_file, ARRAY.shape)


def test_fashion_mnist_is_standardised_with_the_training_images(fashion_folder):
    dataset = fashion_mnist.load_fashion_mnist(fashion_folder)
    pixels = read_idx(fashion_folder / "train-images-idx3-ubyte.gz", (40, 28, 28))
    test = read_idx(fashion_folder / "t10k-images-idx3-ubyte.gz", (10, 28, 28))
    expected = (test.astype(float) - pixels.mean()) / pixels.std()
    np.testing.assert_allclose(dataset.test_inputs, expected, rtol=1e-5, atol=1e-6)
    assert dataset.train_inputs.shape == (40, 28, 28)
    assert str(dataset) == f"Fashion-MNIST (40 train, 10 test) from {fashion_folder}"


def test_option_then_environment_then_system(fashion_folder, tmp_path, monkeypatch):
    option, environment, system = (
        Path(shutil.copytree(fashion_folder, tmp_path / name))
        for name in ("option", "environment", "system")
    )
    monkeypatch.setenv(fashion_mnist.ENVIRONMENT_VARIABLE, str(environment))
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", system)
    assert fashion_mnist.find_files(option) == (option, str(option))
    assert fashion_mnist.find_files() == (environment, str(environment))
    monkeypatch.delenv(fashion_mnist.ENVIRONMENT_VARIABLE)
    assert fashion_mnist.find_files() == (system, str(system))


def test_last_resort_is_a_download_with_checksums(nothing_found, tmp_path, monkeypatch):
    asked = {}

    def retrieve(url, known_hash, fname, path):
        asked[url] = known_hash

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    _, source = fashion_mnist.find_files()
    assert source == fashion_mnist.URL
    assert len(asked) == 4
    assert all(url.startswith(fashion_mnist.URL) for url in asked)
    assert all(checksum.startswith("md5:") for checksum in asked.values())


def test_nothing_found_is_one_clear_error(nothing_found):
    with pytest.raises(DataUnavailableError, match="not on this machine") as caught:
        fashion_mnist.load_fashion_mnist()
    assert "--data-dir" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_named_folder_without_the_files_is_an_error(fashion_folder, monkeypatch):
    (fashion_folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match=r"--data-dir.* lacks t10k-labels.*: get what"):
        fashion_mnist.find_files(fashion_folder)
    monkeypatch.setenv(fashion_mnist.ENVIRONMENT_VARIABLE, str(fashion_folder))
    with pytest.raises(UserError, match=r"FASHION_MNIST_DIR.* lacks t10k-labels-idx1"):
        fashion_mnist.find_files()


def test_digits_are_split_once_and_for_all(digits):
    assert digits.train_inputs.shape == (1347, 8, 8)
    assert digits.test_inputs.shape == (450, 8, 8)
    shares = np.bincount(digits.test_labels) / np.bincount(digits.train_labels)
    np.testing.assert_allclose(shares, 450 / 1347, rtol=0.03)
    again = load_digits()
    np.testing.assert_array_equal(again.test_inputs, digits.test_inputs)
    assert abs(float(digits.train_inputs.mean())) < 1e-5
    assert abs(float(digits.train_inputs.std()) - 1) < 1e-5
