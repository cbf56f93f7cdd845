"""Workloads by name: data, network and recipe, one a file."""

from experiments.task.workloads.cifar import (
    CIFAR10_RESNET18,
    CIFAR10_WRN28X10,
    CIFAR100_RESNET34,
    CIFAR100_WRN40X10,
)
from experiments.task.workloads.diamonds_mlp import DIAMONDS_MLP
from experiments.task.workloads.digits_mlp import DIGITS_MLP
from experiments.task.workloads.fashion_mnist_mlp import FASHION_MNIST_MLP
from experiments.task.workloads.fashion_mnist_resnet import FASHION_MNIST_RESNET
from experiments.task.workloads.imagenet import IMAGENET_RESNET18, IMAGENET_RESNET50
from experiments.task.workloads.pronunciation_gru import PRONUNCIATION_GRU
from experiments.task.workloads.pydoc_transformer import PYDOC_TRANSFORMER
from experiments.task.workloads.workload import Workload

WORKLOADS: dict[str, Workload] = {
    "fashion_mnist_mlp": FASHION_MNIST_MLP,
    "digits_mlp": DIGITS_MLP,
    "fashion_mnist_resnet": FASHION_MNIST_RESNET,
    "pydoc_transformer": PYDOC_TRANSFORMER,
    "diamonds_mlp": DIAMONDS_MLP,
    "pronunciation_gru": PRONUNCIATION_GRU,
    "cifar10_resnet18": CIFAR10_RESNET18,
    "cifar100_resnet34": CIFAR100_RESNET34,
    "cifar10_wrn28x10": CIFAR10_WRN28X10,
    "cifar100_wrn40x10": CIFAR100_WRN40X10,
    "imagenet_resnet18": IMAGENET_RESNET18,
    "imagenet_resnet50": IMAGENET_RESNET50,
}
