"""A perceptron on scikit-learn's digits."""

import functools

from experiments.data.digits import load_digits
from experiments.task.workloads.workload import Workload, mlp

DIGITS_MLP = Workload(
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
)
