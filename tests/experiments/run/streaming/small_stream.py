"""A workload that is read from disk and small; run, the command line that knows it."""

import functools

import jax.numpy as jnp
from flax import nnx

from experiments.__main__ import main
from experiments.data import augment
from experiments.data.imagenet import load_imagenet
from experiments.task.workloads import WORKLOADS, Workload

NAME = "streamed"
SIZE = 8


class Net(nnx.Module):
    """A perceptron with BatchNorm, whose statistics are part of the state."""

    def __init__(self, dataset, rngs, *, dtype=jnp.float32):
        del dtype
        self.norm = nnx.BatchNorm(16, momentum=0.9, rngs=rngs)
        self.first = nnx.Linear(SIZE * SIZE * 3, 16, rngs=rngs)
        self.last = nnx.Linear(16, dataset.num_classes, rngs=rngs)

    def __call__(self, x):
        x = self.norm(self.first(x.reshape(len(x), -1)))
        return self.last(nnx.relu(x))


STREAMED = Workload(
    data="small JPEGs",
    network="perceptron with BatchNorm",
    load=functools.partial(load_imagenet, size=SIZE),
    model=Net,
    optimizer="sgd",
    learning_rate=0.05,
    weight_decay=1e-3,
    batch_size=4,
    epochs=4,
    preprocess=augment.normalise(augment.IMAGENET_MEAN, augment.IMAGENET_STD),
)


if __name__ == "__main__":
    WORKLOADS[NAME] = STREAMED
    main()
