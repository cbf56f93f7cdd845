"""What is trained: data, network and the usual recipe. One entry is one workload."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
from flax import nnx

from experiments.data.dataset import Dataset
from experiments.data.digits import load_digits
from experiments.data.fashion_mnist import load_fashion_mnist
from experiments.models import MLP


def as_it_is(inputs: jax.Array) -> jax.Array:
    """The inputs of a data set that a network takes directly."""
    return inputs


@dataclass(frozen=True)
class Workload:
    """Everything of a training run but the learning rate's course and the seed."""

    data: str  # for people, as the next one
    network: str
    load: Callable[[Path | None], Dataset]
    model: Callable[[Dataset, nnx.Rngs], nnx.Module]
    optimizer: str  # of OPTIMIZERS
    learning_rate: float  # the initial one
    weight_decay: float
    batch_size: int
    epochs: int
    momentum: float = 0.9
    # What the usual hand-made schedule does, and AutoDrop's factor.
    drop_factor: float = 0.2
    milestones: tuple[float, ...] = (0.3, 0.6, 0.8)  # fractions of the run
    # A data set's inputs -> the network's, in training and evaluation.
    preprocess: Callable[[jax.Array], jax.Array] = as_it_is
    # (key, a data set's inputs) -> the same, changed at random, in training.
    augment: Callable[[jax.Array, jax.Array], jax.Array] | None = None

    @property
    def recipe(self) -> str:
        """How it is trained, for people."""
        return (
            f"batch {self.batch_size}, {self.optimizer}, rate {self.learning_rate:g},"
            f" momentum {self.momentum:g}, weight decay {self.weight_decay:g}"
        )


def mlp(dataset: Dataset, rngs: nnx.Rngs, *, hidden_sizes: tuple[int, ...]) -> MLP:
    """A perceptron that fits the data set."""
    shape = dataset.train_inputs.shape[1:]
    return MLP(shape, hidden_sizes, dataset.num_classes, rngs=rngs)


WORKLOADS: dict[str, Workload] = {
    "fashion_mnist_mlp": Workload(
        data="Fashion-MNIST",
        network="perceptron 784-256-256-10",
        load=load_fashion_mnist,
        model=functools.partial(mlp, hidden_sizes=(256, 256)),
        optimizer="sgd",
        learning_rate=0.1,
        weight_decay=5e-4,
        batch_size=128,
        epochs=60,
    ),
    "digits_mlp": Workload(
        data="scikit-learn's digits",
        network="perceptron 64-128-128-10",
        load=load_digits,
        model=functools.partial(mlp, hidden_sizes=(128, 128)),
        optimizer="sgd",
        learning_rate=0.1,
        # The strong decay keeps the network from fitting all 1347 digits exactly. Where
        # it does, the gradients' noise is gone, and with it what a drop is for.
        weight_decay=1e-2,
        batch_size=32,
        epochs=60,
    ),
}
