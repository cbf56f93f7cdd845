"""CIFAR-10 in small, for any machine: files in the official format, a narrow network.

To see in a minute whether a program for an accelerator runs through. The images are
made up: a colour for each class under noise, so that there is something to learn.
"""

import dataclasses
import functools
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from experiments.data import cifar
from experiments.data.dataset import Dataset
from experiments.models import BasicBlock, ResNet
from experiments.models.layers import with_matrix_products
from experiments.task.workloads import WORKLOADS, Workload


def write_cifar10(
    folder: Path, train_records: int = 32, test_records: int = 64
) -> cifar.Archive:
    """Writes CIFAR-10's six binary files with few made-up images.

    Args:
      folder: where they go.
      train_records: images in each of the five training files.
      test_records: images in the test file.

    Returns:
      The archive's description, which ``cifar.load`` takes.
    """
    archive = dataclasses.replace(
        cifar.CIFAR10,
        name="made-up images as CIFAR-10",
        train_records=train_records,
        test_records=test_records,
    )
    rng = np.random.default_rng(0)
    colours = rng.integers(64, 192, (archive.num_classes, 3, 1, 1))
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in archive.files.items():
        labels = rng.integers(0, archive.num_classes, records, dtype=np.uint8)
        noise = rng.normal(0, 64, (records, 3, 32, 32))
        planes = np.clip(colours[labels] + noise, 0, 255).astype(np.uint8)
        table = np.concatenate([labels[:, None], planes.reshape(records, -1)], axis=1)
        (folder / name).write_bytes(table.tobytes())
    return archive


def load_cifar10(folder: Path) -> Dataset:
    """Writes the made-up images into a folder and loads them as CIFAR-10's."""
    return cifar.load(write_cifar10(folder), folder)


def small_workload(batch_size: int = 32) -> Workload:
    """Returns ``cifar10_resnet18`` with a narrow network of two blocks, for a CPU."""
    return dataclasses.replace(
        WORKLOADS["cifar10_resnet18"],
        network="ResNet of two blocks, width 4",
        model=functools.partial(_narrow, width=4),
        batch_size=batch_size,
    )


def _narrow(
    dataset: Dataset, rngs: nnx.Rngs, *, width: int, dtype: DTypeLike = jnp.float32
) -> ResNet:
    model = ResNet(
        BasicBlock,
        (1, 1),
        dataset.num_classes,
        stem="cifar",
        width=width,
        dtype=dtype,
        rngs=rngs,
    )
    return with_matrix_products(model)
