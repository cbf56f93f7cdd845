"""CIFAR-10 and CIFAR-100: from where, and that damaged files are noticed.

The files are in the format of the official binary archives, with few records.
"""

import numpy as np
import pooch
import pytest

from experiments.data import cifar
from experiments.errors import DataUnavailableError, UserError

BOTH = pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])


def check(dataset, small):
    train = small.archive.train
    expected = {
        "train_inputs": np.concatenate([small.images[n] for n in train]),
        "train_labels": np.concatenate([small.labels[n] for n in train]),
        "test_inputs": small.images[small.archive.test],
        "test_labels": small.labels[small.archive.test],
    }
    for field, array in expected.items():
        np.testing.assert_array_equal(getattr(dataset, field), array, err_msg=field)
    assert dataset.train_inputs.dtype == np.uint8
    assert dataset.train_labels.dtype == np.int32
    assert dataset.num_classes == small.archive.num_classes


def test_the_official_files():
    # As the data sets' home page describes them.
    ten, hundred = cifar.CIFAR10, cifar.CIFAR100
    assert sum(ten.files[name] for name in ten.train) == 50000
    assert sum(hundred.files[name] for name in hundred.train) == 50000
    assert ten.files["test_batch.bin"] == hundred.files["test.bin"] == 10000
    assert (ten.num_classes, hundred.num_classes) == (10, 100)
    assert ten.checksum == "md5:c32a1d4ab5d03f1284b67883e8d87530"
    assert hundred.checksum == "md5:03b5dce01913d631647c71ecec9e9cb8"


@BOTH
@pytest.mark.parametrize("place", ["files", "folder-of-files", "archive"])
def test_a_folder_with(small_cifar, tmp_path, name, place):
    small = small_cifar(name)
    if place == "archive":
        small.write_archive(tmp_path)
    else:
        small.write(tmp_path / ("" if place == "files" else small.archive.folder))
    dataset = cifar.load(small.archive, tmp_path)
    check(dataset, small)
    assert dataset.source == str(tmp_path)


def test_the_loaders_are_those_of_their_data_sets(small_cifar, tmp_path):
    for name, load in (
        ("CIFAR10", cifar.load_cifar10),
        ("CIFAR100", cifar.load_cifar100),
    ):
        small = small_cifar(name)
        check(load(small.write(tmp_path / name)), small)


def test_a_pixel_is_where_the_format_puts_it():
    # The label 7, then all of red, green, blue; the third pixel of the second row.
    content = bytearray(1 + 3 * 1024)
    content[0] = 7
    for channel, value in enumerate((11, 22, 33)):
        content[1 + 1024 * channel + 32 + 2] = value
    archive = cifar.Archive(
        "CIFAR-10", "a", "", "", ("one.bin",), "test.bin", 1, 1, (("class", 10),)
    )
    images, labels = cifar.decode(archive, "one.bin", bytes(content), "here")
    assert labels.tolist() == [7]
    assert images[0, 1, 2].tolist() == [11, 22, 33]
    assert np.count_nonzero(images) == 3


def test_the_environment_then_a_download(small_cifar, tmp_path, monkeypatch):
    small = small_cifar("CIFAR10")
    small.write_archive(tmp_path)
    monkeypatch.setenv("CIFAR_DIR", str(tmp_path))
    check(cifar.load_cifar10(), small)

    asked = []

    def retrieve(url, known_hash, fname, path):
        asked.append((url, known_hash))
        path.mkdir(parents=True)
        (tmp_path / fname).rename(path / fname)

    monkeypatch.delenv("CIFAR_DIR")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    monkeypatch.setattr(pooch, "retrieve", retrieve)
    dataset = cifar.load_cifar10()
    check(dataset, small)
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    assert asked == [(url, small.archive.checksum)]
    assert dataset.source == url


def test_nothing_found_is_one_clear_error(monkeypatch):
    def refuse(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.delenv("CIFAR_DIR", raising=False)
    monkeypatch.setattr(pooch, "retrieve", refuse)
    with pytest.raises(DataUnavailableError, match="CIFAR-100 is not on") as caught:
        cifar.load_cifar100()
    assert "--data-dir or CIFAR_DIR" in str(caught.value)


@BOTH
@pytest.mark.parametrize("change", [-1, 1, -3073])
def test_a_file_of_another_size(small_cifar, tmp_path, name, change):
    small = small_cifar(name)
    content = small.contents[small.archive.test]
    small.contents[small.archive.test] = (content + b"\0")[: len(content) + change]
    small.write(tmp_path)
    message = (
        rf"{small.archive.test} of {tmp_path} holds {len(content) + change} bytes,"
        rf" expected {len(content)} \(6 records"
    )
    with pytest.raises(UserError, match=message):
        cifar.load(small.archive, tmp_path)


@pytest.mark.parametrize(
    ("name", "byte", "value", "message"),
    [
        ("CIFAR10", 0, 10, "has class 10 in record 2, but CIFAR-10's are 0 to 9"),
        ("CIFAR100", 0, 20, "has superclass 20 in record 2, but .* are 0 to 19"),
        ("CIFAR100", 1, 100, "has class 100 in record 2, but .* are 0 to 99"),
    ],
)
def test_a_label_that_there_is_not(small_cifar, tmp_path, name, byte, value, message):
    small = small_cifar(name)
    last = small.archive.train[-1]
    content = bytearray(small.contents[last])
    content[2 * (len(small.archive.labels) + 3072) + byte] = value
    small.contents[last] = bytes(content)
    small.write(tmp_path)
    with pytest.raises(UserError, match=f"{last} of .*{message}"):
        cifar.load(small.archive, tmp_path)


def test_a_missing_file(small_cifar, tmp_path):
    small = small_cifar("CIFAR10")
    small.write(tmp_path)
    (tmp_path / "data_batch_3.bin").unlink()
    with pytest.raises(UserError, match=r"--data-dir, .* lacks data_batch_3\.bin: get"):
        cifar.load_cifar10(tmp_path)


def test_a_folder_with_nothing_in_it(small_cifar, tmp_path, monkeypatch):
    small_cifar("CIFAR10")
    monkeypatch.setenv("CIFAR_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"CIFAR_DIR.*holds neither test_batch\.bin"):
        cifar.load_cifar10()


def test_a_damaged_archive(small_cifar, tmp_path):
    small_cifar("CIFAR10").write_archive(tmp_path)
    path = tmp_path / "cifar-10-binary.tar.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cifar-10-binary\.tar\.gz is damaged or an"):
        cifar.load_cifar10(tmp_path)
