"""The papers' residual networks on CIFAR-10 and CIFAR-100.

The recipes of the baselines (arXiv 2111.15317, section 6): those of Zhang et al. (2019)
with ResNets and of Zagoruyko and Komodakis (2016) with wide ones, which differ in the
rate and in Nesterov's momentum.
"""

import functools

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from experiments.data import augment
from experiments.data.cifar import load_cifar10, load_cifar100
from experiments.models import WideResNet, resnet18, resnet34
from experiments.task.workloads.workload import AnyDataset, Workload, resnet


def wide_resnet(
    dataset: AnyDataset,
    rngs: nnx.Rngs,
    *,
    depth: int,
    dtype: DTypeLike = jnp.float32,
) -> WideResNet:
    """A wide residual network with ten times the channels, without dropout."""
    return WideResNet(depth, 10, dataset.num_classes, dtype=dtype, rngs=rngs)


_on_cifar = functools.partial(
    Workload,
    weight_decay=5e-4,
    batch_size=128,
    epochs=200,
    milestones=(60 / 200, 120 / 200, 160 / 200),
    preprocess=augment.normalise(augment.CIFAR_MEAN, augment.CIFAR_STD),
    augment=augment.crop_and_flip,
)
_resnet_on_cifar = functools.partial(
    _on_cifar, optimizer="nesterov", learning_rate=0.05
)
_wide_resnet_on_cifar = functools.partial(_on_cifar, optimizer="sgd", learning_rate=0.1)

CIFAR10_RESNET18 = _resnet_on_cifar(
    data="CIFAR-10",
    network="ResNet-18",
    load=load_cifar10,
    model=functools.partial(resnet, build=resnet18, stem="cifar"),
)
CIFAR100_RESNET34 = _resnet_on_cifar(
    data="CIFAR-100",
    network="ResNet-34",
    load=load_cifar100,
    model=functools.partial(resnet, build=resnet34, stem="cifar"),
)
CIFAR10_WRN28X10 = _wide_resnet_on_cifar(
    data="CIFAR-10",
    network="WRN-28x10",
    load=load_cifar10,
    model=functools.partial(wide_resnet, depth=28),
)
CIFAR100_WRN40X10 = _wide_resnet_on_cifar(
    data="CIFAR-100",
    network="WRN-40x10",
    load=load_cifar100,
    model=functools.partial(wide_resnet, depth=40),
)
