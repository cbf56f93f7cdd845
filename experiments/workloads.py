"""What is trained: data, network and the usual recipe. One entry is one workload."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import optax
from flax import nnx

from experiments.data.dataset import Dataset
from experiments.data.digits import load_digits
from experiments.data.fashion_mnist import load_fashion_mnist
from experiments.models import MLP

LearningRate = float | optax.Schedule


@dataclass(frozen=True)
class Workload:
    """Everything of a training run but the learning rate's course and the seed."""

    data: str  # for people, as the next two
    network: str
    recipe: str
    load: Callable[[Path | None], Dataset]
    model: Callable[[Dataset, nnx.Rngs], nnx.Module]
    optimizer: Callable[[LearningRate], optax.GradientTransformation]
    learning_rate: float  # the recipe's initial one
    batch_size: int
    epochs: int


def sgd_with_momentum(
    learning_rate: LearningRate, *, momentum: float, weight_decay: float
) -> optax.GradientTransformation:
    """SGD with momentum and an l2 penalty, the recipe of image classification."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.sgd(learning_rate, momentum=momentum),
    )


def mlp(dataset: Dataset, rngs: nnx.Rngs, *, hidden_sizes: tuple[int, ...]) -> MLP:
    """A perceptron that fits the data set."""
    shape = dataset.train_images.shape[1:]
    return MLP(shape, hidden_sizes, dataset.num_classes, rngs=rngs)


WORKLOADS: dict[str, Workload] = {
    "fashion_mnist_mlp": Workload(
        data="Fashion-MNIST",
        network="perceptron 784-256-256-10",
        recipe="batch 128, SGD, rate 0.1, momentum 0.9, weight decay 5e-4",
        load=load_fashion_mnist,
        model=functools.partial(mlp, hidden_sizes=(256, 256)),
        optimizer=functools.partial(sgd_with_momentum, momentum=0.9, weight_decay=5e-4),
        learning_rate=0.1,
        batch_size=128,
        epochs=60,
    ),
    "digits_mlp": Workload(
        data="scikit-learn's digits",
        network="perceptron 64-128-128-10",
        recipe="batch 32, SGD, rate 0.1, momentum 0.9, weight decay 1e-2",
        load=load_digits,
        model=functools.partial(mlp, hidden_sizes=(128, 128)),
        # The strong decay keeps the network from fitting all 1347 digits exactly. Where
        # it does, the gradients' noise is gone, and with it what a drop is for.
        optimizer=functools.partial(sgd_with_momentum, momentum=0.9, weight_decay=1e-2),
        learning_rate=0.1,
        batch_size=32,
        epochs=60,
    ),
}
