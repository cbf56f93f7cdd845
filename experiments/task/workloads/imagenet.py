"""The papers' residual networks on ImageNet.

The recipe of He et al. (2016); ResNet-50, of the UAI version, has ResNet-18's.
"""

import functools

from experiments.data import augment
from experiments.data.imagenet import load_imagenet
from experiments.models import resnet18, resnet50
from experiments.task.workloads.workload import Workload, resnet

_on_imagenet = functools.partial(
    Workload,
    data="ImageNet",
    load=load_imagenet,
    optimizer="sgd",
    learning_rate=0.1,
    weight_decay=1e-4,
    batch_size=128,
    epochs=105,
    drop_factor=0.1,
    milestones=(30 / 105, 60 / 105, 90 / 105),
    preprocess=augment.normalise(augment.IMAGENET_MEAN, augment.IMAGENET_STD),
)

IMAGENET_RESNET18 = _on_imagenet(
    network="ResNet-18",
    model=functools.partial(resnet, build=resnet18, stem="imagenet"),
)
IMAGENET_RESNET50 = _on_imagenet(
    network="ResNet-50",
    model=functools.partial(resnet, build=resnet50, stem="imagenet"),
)
