"""Fashion-MNIST (Xiao, Rasul, Vollgraf, 2017): where its files are, and how to read it.

10 classes of clothing, 28 x 28 grey values, 60000 training and 10000 test images.
"""

import os
from pathlib import Path

import numpy as np

from experiments.data.dataset import Dataset, standardised
from experiments.data.download import download
from experiments.data.idx import read_idx
from experiments.errors import UserError

ENVIRONMENT_VARIABLE = "FASHION_MNIST_DIR"
# Debian's package dataset-fashion-mnist.
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"

TRAIN_SIZE = 60000
TEST_SIZE = 10000
_IMAGE_SHAPE = (28, 28)
Part = tuple[np.ndarray, np.ndarray]  # images, labels
_TRAIN = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
_TEST = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")

# The official ones. They hold for the download alone: Debian strips the file name and
# the date from the gzip header, which changes the checksum and none of the content.
_CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
}


def load_fashion_mnist(folder: Path | None = None) -> Dataset:
    """Loads Fashion-MNIST; :func:`find_files` says from where.

    Args:
      folder: a folder with the four gzipped IDX files, or None to look for them.

    Returns:
      The data set, images of shape (examples, 28, 28).

    Raises:
      DataUnavailableError: there are no files and the download failed.
      UserError: files are missing or damaged.
    """
    source, train, test = read_fashion_mnist(folder)
    return standardised("Fashion-MNIST", source, num_classes=10, train=train, test=test)


def read_fashion_mnist(folder: Path | None = None) -> tuple[str, Part, Part]:
    """Reads the four files; :func:`find_files` says from where.

    Args:
      folder: as of :func:`load_fashion_mnist`.

    Returns:
      Where the files come from in words; training and test part, each of images of
      shape (examples, 28, 28) and labels of shape (examples,), uint8.

    Raises:
      DataUnavailableError: there are no files and the download failed.
      UserError: files are missing or damaged.
    """
    folder, source = find_files(folder)
    return source, _read(folder, _TRAIN, TRAIN_SIZE), _read(folder, _TEST, TEST_SIZE)


def find_files(folder: Path | None = None) -> tuple[Path, str]:
    """Finds or downloads the four files.

    In this order: ``folder``; the environment's FASHION_MNIST_DIR; the system's shared
    data sets; a download into the user's cache.

    Args:
      folder: the folder that the user named, if any.

    Returns:
      The folder, and where the files come from in words.

    Raises:
      DataUnavailableError: there are no files and the download failed.
      UserError: a folder that the user named lacks a file.
    """
    if folder is not None:
        return _complete(folder, "--data-dir"), str(folder)
    if named := os.environ.get(ENVIRONMENT_VARIABLE):
        return _complete(Path(named), ENVIRONMENT_VARIABLE), named
    if SYSTEM_FOLDER.is_dir():
        return _complete(SYSTEM_FOLDER, "the system"), str(SYSTEM_FOLDER)
    cache = download(
        "Fashion-MNIST", ENVIRONMENT_VARIABLE, URL, _CHECKSUMS, "fashion-mnist"
    )
    return cache, URL


def _complete(folder: Path, named_by: str) -> Path:
    missing = [name for name in _CHECKSUMS if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"The folder for Fashion-MNIST named by {named_by}, {folder}, lacks"
            f" {', '.join(missing)}: get what is missing from {URL}."
        )
    return folder


def _read(folder: Path, names: tuple[str, str], size: int) -> Part:
    images, labels = names
    return (
        read_idx(folder / images, (size, *_IMAGE_SHAPE)),
        read_idx(folder / labels, (size,)),
    )
