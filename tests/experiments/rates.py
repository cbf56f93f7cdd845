"""The rates that a run records."""

from experiments.data.dataset import Dataset
from experiments.run.training import set_up
from experiments.task.config import RunConfig


def rates_of(dataset: Dataset, config: RunConfig) -> list[float]:
    """The recorded rate of every epoch."""
    state, run_epoch = set_up(config, dataset)
    rates = []
    for _ in range(config.epochs):
        state, metrics = run_epoch(state)
        rates.append(float(metrics["learning_rate"]))
    return rates
