"""What does a step of training cost under each schedule?

The schedules take turns, so that a machine that is busy is busy for all of them. Each
turn is a number of steps in one jitted scan, without the end of an epoch, on one core
where the system has the means to choose it.
"""

import os
import tempfile
from pathlib import Path

import jax
import numpy as np

from experiments.benchmark.timing import Side, compare, going_on
from experiments.data.dataset import Dataset
from experiments.errors import choose
from experiments.report.csv_file import write_csv
from experiments.report.requirements import AGAIN, BASE, StepTime
from experiments.report.tables import aligned_table
from experiments.run.environment import write_provenance
from experiments.run.epoch import make_step
from experiments.run.gradient_norms import write_gradient_norms
from experiments.run.setup import Training
from experiments.schedules import SCHEDULES
from experiments.schedules.refined import Refined
from experiments.studies.study import RESULTS
from experiments.task.config import RunConfig
from experiments.task.workloads import WORKLOADS


def step_time(
    *,
    workload: str = "fashion_mnist_mlp",
    steps: int = 50,
    repeats: int = 15,
    results: Path = RESULTS,
    data_dir: Path | None = None,
) -> None:
    """What does a step of training cost under each schedule?

    Args:
      workload: what is trained.
      steps: of a turn.
      repeats: turns of each schedule; the median counts.
      results: folder for the table, WORKLOAD_step_time.csv.
      data_dir: folder with the data set's files.
    """
    dataset = choose(WORKLOADS, "workload", workload).load(data_dir)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    found = measure(workload, dataset, steps, repeats)
    path = results / f"{workload}_step_time.csv"
    write_csv(path, StepTime._fields, found, ".4f")
    write_provenance(path)
    lines = [(run[0], f"{run[1]:.3f}", f"{run[2]:.3f}") for run in found]
    print(aligned_table(StepTime._fields, lines))
    print(f"table: {path}")


def measure(
    workload: str, dataset: Dataset, steps: int, repeats: int
) -> list[StepTime]:
    """Times all schedules; a second copy of constant shows the noise."""
    with tempfile.TemporaryDirectory() as folder:
        # Any norms will do: the schedule is a function of the step all the same.
        write_gradient_norms(Path(folder), np.ones(100))
        sides = {
            name: side(name, workload, dataset, steps, Path(folder))
            for name in (*SCHEDULES, AGAIN)
        }
        medians = compare(sides, repeats)
    return [
        StepTime(name, 1e3 * seconds / steps, seconds / medians[BASE])
        for name, seconds in medians.items()
    ]


def side(name: str, workload: str, dataset: Dataset, steps: int, norms: Path) -> Side:
    """Some steps under a schedule, with the parameters going on from turn to turn."""
    schedule = SCHEDULES[BASE if name == AGAIN else name]()
    if isinstance(schedule, Refined):
        schedule = Refined(first_run=str(norms))
    # A fraction for plateau; nothing is held out here.
    run = RunConfig(workload, schedule, validation_fraction=0.1)
    training = Training.of(run, dataset)
    step = make_step(training)
    size = training.workload.batch_size
    order = jax.random.permutation(jax.random.key(0), len(dataset.train_labels))
    batches = jax.numpy.resize(order, (steps, size))

    @jax.jit
    def turn(state, data):
        def body(state, indices):
            inputs = data["train_inputs"][indices]
            labels = data["train_labels"][indices]
            return step(state, inputs, labels, training.order_key)

        return jax.lax.scan(body, state, batches)[0]

    return going_on(lambda state: (turn(state, dataset.arrays),), training.state)
