"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009), from the official binary archives.

32 x 32 colour images, 50000 for training and 10000 for the test. A file is a sequence
of records without a header: the label's byte (CIFAR-100 has two, of the superclass and
of the class), then 1024 bytes each of red, green and blue, row by row.
"""

import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pooch

from experiments.data.dataset import Dataset
from experiments.data.download import download
from experiments.errors import UserError

ENVIRONMENT_VARIABLE = "CIFAR_DIR"
URL = "https://www.cs.toronto.edu/~kriz/"

_PLANES = (3, 32, 32)
_PIXEL_BYTES = 3 * 32 * 32


@dataclass(frozen=True)
class Archive:
    """One of the two archives: its name, its files and their records.

    Attributes:
      name: for people.
      file: the archive's name.
      checksum: the official one, in pooch's form.
      folder: the folder in the archive that holds the files.
      train: the training files.
      test: the test file.
      train_records: records in each training file.
      test_records: records in the test file.
      labels: for each byte of a record's label what it numbers and how many there are;
        the last one is the class.
    """

    name: str
    file: str
    checksum: str
    folder: str
    train: tuple[str, ...]
    test: str
    train_records: int
    test_records: int
    labels: tuple[tuple[str, int], ...]

    @property
    def files(self) -> dict[str, int]:
        """Every file and its number of records."""
        train = dict.fromkeys(self.train, self.train_records)
        return {**train, self.test: self.test_records}

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return self.labels[-1][1]


CIFAR10 = Archive(
    name="CIFAR-10",
    file="cifar-10-binary.tar.gz",
    checksum="md5:c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    test="test_batch.bin",
    train_records=10000,
    test_records=10000,
    labels=(("class", 10),),
)
CIFAR100 = Archive(
    name="CIFAR-100",
    file="cifar-100-binary.tar.gz",
    checksum="md5:03b5dce01913d631647c71ecec9e9cb8",
    folder="cifar-100-binary",
    train=("train.bin",),
    test="test.bin",
    train_records=50000,
    test_records=10000,
    labels=(("superclass", 20), ("class", 100)),
)


def load_cifar10(folder: Path | None = None) -> Dataset:
    """Loads CIFAR-10; :func:`load` says from where."""
    return load(CIFAR10, folder)


def load_cifar100(folder: Path | None = None) -> Dataset:
    """Loads CIFAR-100 with its 100 classes; :func:`load` says from where."""
    return load(CIFAR100, folder)


def load(archive: Archive, folder: Path | None = None) -> Dataset:
    """Loads one of the two data sets.

    In this order: ``folder``; the environment's CIFAR_DIR; a download into the user's
    cache. A folder holds the files, or the archive's own folder with them, or the
    archive.

    Args:
      archive: which of the two.
      folder: the folder that the user named, if any.

    Returns:
      The data set, images of shape (examples, 32, 32, 3), uint8, as they are stored.

    Raises:
      DataUnavailableError: there are no files and the download failed.
      UserError: files are missing or damaged.
    """
    if folder is not None:
        contents, source = _in_folder(archive, folder, "--data-dir"), str(folder)
    elif named := os.environ.get(ENVIRONMENT_VARIABLE):
        contents = _in_folder(archive, Path(named), ENVIRONMENT_VARIABLE)
        source = named
    else:
        checksums = {archive.file: archive.checksum}
        cache = download(archive.name, ENVIRONMENT_VARIABLE, URL, checksums, "cifar")
        contents = _in_archive(archive, cache / archive.file)
        source = URL + archive.file
    parts = {
        name: decode(archive, name, content, source)
        for name, content in contents.items()
    }
    images, labels = zip(*(parts[name] for name in archive.train), strict=True)
    test_images, test_labels = parts[archive.test]
    return Dataset(
        name=archive.name,
        source=source,
        num_classes=archive.num_classes,
        train_inputs=jnp.asarray(np.concatenate(images)),
        train_labels=jnp.asarray(np.concatenate(labels)),
        test_inputs=jnp.asarray(test_images),
        test_labels=jnp.asarray(test_labels),
    )


def decode(
    archive: Archive, name: str, content: bytes, source: str
) -> tuple[np.ndarray, np.ndarray]:
    """Decodes one file.

    Args:
      archive: the archive that it belongs to.
      name: its name.
      content: what it holds.
      source: where it came from, for messages.

    Returns:
      Images of shape (records, 32, 32, 3), uint8, and labels of shape (records,),
      int32.

    Raises:
      UserError: it has another size, or labels that there are not.
    """
    records = archive.files[name]
    record_bytes = len(archive.labels) + _PIXEL_BYTES
    if len(content) != records * record_bytes:
        raise UserError(
            f"{name} of {source} holds {len(content)} bytes, expected"
            f" {records * record_bytes} ({records} records of {record_bytes}): it is"
            f" damaged or no file of {archive.name}'s binary version. Get it anew from"
            f" {URL}{archive.file}."
        )
    table = np.frombuffer(content, np.uint8).reshape(records, record_bytes)
    for column, (what, count) in enumerate(archive.labels):
        wrong = np.flatnonzero(table[:, column] >= count)
        if wrong.size:
            raise UserError(
                f"{name} of {source} has {what} {table[wrong[0], column]} in record"
                f" {wrong[0]}, but {archive.name}'s are 0 to {count - 1}: it is"
                f" damaged. Get it anew from {URL}{archive.file}."
            )
    planes = table[:, len(archive.labels) :].reshape(records, *_PLANES)
    labels = table[:, len(archive.labels) - 1].astype(np.int32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


def _in_folder(archive: Archive, folder: Path, named_by: str) -> dict[str, bytes]:
    """What the files hold, by name."""
    for place in (folder, folder / archive.folder):
        if (place / archive.test).is_file():
            missing = [name for name in archive.files if not (place / name).is_file()]
            if missing:
                raise UserError(
                    f"The folder for {archive.name} named by {named_by}, {place},"
                    f" lacks {', '.join(missing)}: get what is missing from"
                    f" {URL}{archive.file}."
                )
            return {name: (place / name).read_bytes() for name in archive.files}
    path = folder / archive.file
    if not path.is_file():
        raise UserError(
            f"The folder for {archive.name} named by {named_by}, {folder}, holds"
            f" neither {archive.test} nor a folder {archive.folder} nor {archive.file}:"
            f" put the archive there, from {URL}{archive.file}."
        )
    algorithm, _, checksum = archive.checksum.partition(":")
    if pooch.file_hash(str(path), alg=algorithm) != checksum:
        raise UserError(
            f"{path} is damaged or another file, as its {algorithm} is not {checksum}:"
            f" delete it and get it anew from {URL}{archive.file}."
        )
    return _in_archive(archive, path)


def _in_archive(archive: Archive, path: Path) -> dict[str, bytes]:
    """The same from the archive, whose checksum has been compared."""
    with tarfile.open(path) as tar:
        return {
            name: file.read()
            for member in tar
            if (name := Path(member.name).name) in archive.files
            and (file := tar.extractfile(member))
        }
