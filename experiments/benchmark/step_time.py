"""The cost of a step of training under each schedule.

`python -m experiments.benchmark.step_time` writes WORKLOAD_step_time.csv.
The schedules take turns, so that a machine that is busy is busy for all of them. Each
turn is a number of steps in one jitted scan, without the end of an epoch, on one core
where the system has the means to choose it.
"""

import csv
import dataclasses
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import tyro

from experiments.benchmark.timing import Side, compare, going_on
from experiments.data.dataset import Dataset
from experiments.errors import choose
from experiments.run.environment import write_provenance
from experiments.run.epoch import make_step
from experiments.run.gradient_norms import write_gradient_norms
from experiments.run.setup import Training
from experiments.schedules import SCHEDULES
from experiments.schedules.refined import Refined
from experiments.task.config import RunConfig
from experiments.task.workloads import WORKLOADS

# What the others are set beside, and itself once more.
BASE, AGAIN = "constant", "constant again"


@dataclasses.dataclass(frozen=True)
class StepTimeConfig:
    """Measures what a step of training costs under each schedule."""

    workload: str = "fashion_mnist_mlp"
    """What is trained."""
    steps: int = 50
    """Of a turn."""
    repeats: int = 15
    """Turns of each schedule; the median counts."""
    out: Path = Path("experiments/results/studies")
    """Folder for the table, WORKLOAD_step_time.csv."""
    data_dir: Path | None = None
    """Folder with the data set's files."""


class StepTimeRow(NamedTuple):
    """A line of the table."""

    schedule: str
    milliseconds: float  # of a step
    ratio: float  # to constant's


def measure(config: StepTimeConfig) -> list[StepTimeRow]:
    """Times all schedules; a second copy of constant shows the noise."""
    dataset = choose(WORKLOADS, "workload", config.workload).load(config.data_dir)
    with tempfile.TemporaryDirectory() as folder:
        # Any norms will do: the schedule is a function of the step all the same.
        write_gradient_norms(Path(folder), np.ones(100))
        names = (*SCHEDULES, AGAIN)
        sides = {name: side(name, dataset, config, Path(folder)) for name in names}
        medians = compare(sides, config.repeats)
    return [
        StepTimeRow(name, 1e3 * seconds / config.steps, seconds / medians[BASE])
        for name, seconds in medians.items()
    ]


def side(name: str, dataset: Dataset, config: StepTimeConfig, norms: Path) -> Side:
    """Some steps under a schedule, with the parameters going on from turn to turn."""
    schedule = SCHEDULES[BASE if name == AGAIN else name]()
    if isinstance(schedule, Refined):
        schedule = Refined(first_run=str(norms))
    # A fraction for plateau; nothing is held out here.
    run = RunConfig(config.workload, schedule, validation_fraction=0.1)
    training = Training.of(run, dataset)
    step = make_step(training)
    size = training.workload.batch_size
    order = jax.random.permutation(jax.random.key(0), len(dataset.train_labels))
    batches = jax.numpy.resize(order, (config.steps, size))

    @jax.jit
    def turn(state, data):
        def body(state, indices):
            inputs = data["train_inputs"][indices]
            labels = data["train_labels"][indices]
            return step(state, inputs, labels, training.order_key)

        return jax.lax.scan(body, state, batches)[0]

    return going_on(lambda state: (turn(state, dataset.arrays),), training.state)


def main(config: StepTimeConfig) -> None:
    """Measures, prints the table and writes it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = measure(config)
    path = config.out / f"{config.workload}_step_time.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(StepTimeRow._fields)
        for name, milliseconds, ratio in rows:
            writer.writerow((name, f"{milliseconds:.4f}", f"{ratio:.4f}"))
            print(f"{name:<24}{milliseconds:8.3f} ms {ratio:7.3f}")
    write_provenance(path, module="experiments.benchmark.step_time")


if __name__ == "__main__":
    main(tyro.cli(StepTimeConfig, prog="python -m experiments.benchmark.step_time"))
