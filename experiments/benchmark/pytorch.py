"""An epoch of training, beside one in PyTorch."""

import functools
import importlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.benchmark.config import BenchmarkConfig
from experiments.benchmark.inputs import synthetic_fashion_mnist
from experiments.benchmark.timing import Row, Side, going_on, timed_row
from experiments.data.dataset import Dataset
from experiments.run.training import set_up
from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.task.config import RunConfig
from experiments.task.workloads import WORKLOADS


def pytorch_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """An epoch on Fashion-MNIST over one in PyTorch. Both train and evaluate."""
    what = "epoch of the perceptron, epoch_autodrop / PyTorch"
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError:
        yield Row(what, math.nan, limit=1.0, note="torch not installed")
        return
    data = synthetic_fashion_mnist(config)
    for name, limit, options in (("", 1.0, {}), (", fused", math.nan, {"fused": True})):
        state, run_epoch = set_up(RunConfig("fashion_mnist_mlp", EpochAutoDrop()), data)
        yield timed_row(
            what + name,
            functools.partial(torch_epoch, torch, data, options),
            going_on(lambda state, _, run=run_epoch: run(state), state, None),
            config.repeats,
            limit,
        )


def torch_epoch(torch: Any, data: Dataset, options: dict[str, Any]) -> Side:
    """The epoch without AutoDrop, as a plain loop over tensors in memory."""
    batch_size = WORKLOADS["fashion_mnist_mlp"].batch_size
    images, labels, test_inputs, test_labels = (
        torch.from_numpy(np.array(data.arrays[name]))
        for name in ("train_inputs", "train_labels", "test_inputs", "test_labels")
    )
    labels, test_labels = labels.long(), test_labels.long()
    model = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(28 * 28, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, data.num_classes),
    )
    optimizer = torch.optim.SGD(
        model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, **options
    )
    cross_entropy = torch.nn.functional.cross_entropy
    size = len(labels) // batch_size * batch_size

    def run():
        losses = torch.zeros(())
        for batch in torch.randperm(len(labels))[:size].split(batch_size):
            optimizer.zero_grad()
            loss = cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            losses += loss.detach()
        with torch.no_grad():
            logits = torch.cat([model(x) for x in test_inputs.split(1000)])
            wrong = logits.argmax(1) != test_labels
            loss = cross_entropy(logits, test_labels)
        return losses.item(), loss.item(), wrong.sum().item()

    return run
