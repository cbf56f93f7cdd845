"""A perceptron on Fashion-MNIST."""

import functools

from experiments.data.fashion_mnist import load_fashion_mnist
from experiments.task.workloads.workload import Workload, mlp

FASHION_MNIST_MLP = Workload(
    data="Fashion-MNIST",
    network="perceptron 784-256-256-10",
    load=load_fashion_mnist,
    model=functools.partial(mlp, hidden_sizes=(256, 256)),
    optimizer="sgd",
    learning_rate=0.1,
    weight_decay=5e-4,
    batch_size=128,
    epochs=60,
)
