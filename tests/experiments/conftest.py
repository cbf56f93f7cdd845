"""Fixtures of the experiments' tests."""

import dataclasses
import gzip
import hashlib
import io
import os
import signal
import struct
import tarfile
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from experiments.data import cifar
from experiments.data.digits import load_digits


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
    """Keeps compiled epochs for later tests and processes, or they take minutes."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)
    yield
    for name in settings:
        del os.environ[name.upper()]
    jax.config.update("jax_compilation_cache_dir", None)


@pytest.fixture(scope="session")
def digits():
    return load_digits()


@pytest.fixture
def write_idx():
    """Writes an array of unsigned bytes as a gzipped IDX file."""

    def write(path: Path, array: np.ndarray) -> Path:
        header = bytes((0, 0, 8, array.ndim))
        sizes = struct.pack(f">{array.ndim}I", *array.shape)
        path.write_bytes(gzip.compress(header + sizes + array.tobytes()))
        return path

    return write


@pytest.fixture
def ctrl_c_counts():
    """Has processes started by a test take note of Ctrl-C.

    Where this one ignores it, as in a shell's background, they would inherit that. They
    do not inherit a handler. (`preexec_fn` would fork, which JAX does not bear.)
    """
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


@pytest.fixture
def num_parameters():
    """Counts the parameters of a network that is built without its memory."""

    def count(build) -> int:
        model = nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0)))
        leaves = jax.tree.leaves(nnx.state(model, nnx.Param))
        return sum(leaf.size for leaf in leaves)

    return count


class SmallCifar:
    """CIFAR-10 or CIFAR-100 in the exact format, with few records in each file."""

    def __init__(self, archive: cifar.Archive, train_records: int, test_records: int):
        self.archive = dataclasses.replace(
            archive, train_records=train_records, test_records=test_records
        )
        rng = np.random.default_rng(0)
        self.images, self.labels, self.contents = {}, {}, {}
        for name, size in self.archive.files.items():
            images = rng.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8)
            counts = [count for _, count in archive.labels]
            labels = rng.integers(0, counts, (size, len(counts)), dtype=np.uint8)
            planes = [
                label.tobytes() + image.transpose(2, 0, 1).tobytes()
                for label, image in zip(labels, images, strict=True)
            ]
            self.images[name], self.labels[name] = images, labels[:, -1]
            self.contents[name] = b"".join(planes)
        self._archive = self._tar()
        checksum = hashlib.md5(self._archive).hexdigest()
        self.archive = dataclasses.replace(self.archive, checksum=f"md5:{checksum}")

    def _tar(self) -> bytes:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w:gz") as tar:
            for name, content in {"readme.html": b"", **self.contents}.items():
                member = tarfile.TarInfo(f"{self.archive.folder}/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return file.getvalue()

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.contents.items():
            (folder / name).write_bytes(content)
        return folder

    def write_archive(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.archive.file).write_bytes(self._archive)
        return folder


@pytest.fixture
def small_cifar(monkeypatch):
    """Makes the loaders expect few records, and gives those."""

    def make(name: str, train_records: int = 8, test_records: int = 6) -> SmallCifar:
        small = SmallCifar(getattr(cifar, name), train_records, test_records)
        monkeypatch.setattr(cifar, name, small.archive)
        return small

    return make


@pytest.fixture(scope="session")
def write_image_tree():
    """Writes JPEGs of random colours and sizes into a folder for each class."""

    def write(root: Path, train=(7, 6, 8), test=(2, 3, 2), sizes=(40, 90)) -> Path:
        rng = np.random.default_rng(0)
        for part, counts in (("train", train), ("val", test)):
            for label, count in enumerate(counts):
                folder = root / part / f"n{label:08d}"
                folder.mkdir(parents=True)
                for index in range(count):
                    height, width = rng.integers(*sizes, 2)
                    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
                    image = Image.fromarray(coarse).resize((width, height))
                    image.save(folder / f"{part}_{label}_{index}.JPEG", quality=90)
        return root

    return write
