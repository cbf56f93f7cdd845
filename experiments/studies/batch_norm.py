"""What does recomputing BatchNorm's statistics after an averaging change?

After an averaging the running means and variances belong to other weights. The
workloads' perceptrons get a BatchNorm in front of every rectifier and are trained
through Flax's own interface, with the recipe of the workload and AutoDrop as in the
demo. A run has two arms, the same until its first averaging: one keeps its statistics
at every averaging, the other recomputes them from the first batches of the next epoch.

The rule, set before the first run. Seeds 0 to 4, both workloads, BatchNorm's momentum
at Flax's default of 0.99 and at 0.9. Every averaging is a line of batch_stats.csv, with
the test error before it, right after it with the old and with the recomputed
statistics, and in both arms 1, 2 and 4 epochs later; every run is a line of
batch_stats_runs.csv, with the final test error of both arms and the largest difference
between their parameters after any epoch. Reported are mean and standard deviation over
the runs, of the first averaging and, averaged within a run first, of the later ones,
and of the paired difference between the arms' final errors, whatever they show; runs
without an averaging are counted. As a control, the statistics are also recomputed
before each averaging, on a copy: what that gains is no matter of the averaging.
"""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import jax
import numpy as np
from flax import nnx
from tqdm import tqdm

from autodrop_optax.flax import autodrop_metrics, end_epoch, recompute_batch_stats
from experiments.data.dataset import Dataset
from experiments.errors import choose
from experiments.models import MLP
from experiments.report.batch_norm import (
    Averaging,
    BatchNormRun,
    averagings_table,
    runs_table,
)
from experiments.report.csv_file import write_csv
from experiments.run.environment import write_provenance
from experiments.run.evaluation import cross_entropy, evaluate
from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.studies.study import RESULTS
from experiments.task.config import RunConfig
from experiments.task.presets import PRESETS
from experiments.task.workloads import WORKLOADS, Workload

DEMO = cast(EpochAutoDrop, PRESETS["demo_autodrop"].config.schedule)


class BatchNormMLP(nnx.Module):
    """A perceptron with BatchNorm in front of every rectifier."""

    def __init__(self, mlp: MLP, momentum: float, *, rngs: nnx.Rngs):
        self.layers = mlp.layers
        self.norms = nnx.List(
            nnx.BatchNorm(layer.out_features, momentum=momentum, rngs=rngs)
            for layer in mlp.layers[:-1]
        )

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Returns logits, shape (batch, classes), for inputs of shape (batch, ...)."""
        x = inputs.reshape(inputs.shape[0], -1)
        for layer, norm in zip(self.layers[:-1], self.norms, strict=True):
            x = nnx.relu(norm(layer(x)))
        return self.layers[-1](x)


@nnx.jit
def train_epoch(
    model: nnx.Module,
    optimizer: nnx.Optimizer,
    images: jax.Array,
    labels: jax.Array,
    batches: jax.Array,
) -> None:
    """Trains in place, on each row of indices once."""

    @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
    def step(carry, batch):
        model, optimizer = carry

        def loss(model):
            return cross_entropy(model(images[batch]), labels[batch]).mean()

        optimizer.update(model, nnx.grad(loss)(model))
        return model, optimizer

    step((model, optimizer), batches)


@nnx.jit
def percent_wrong(model: nnx.Module, images: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the error in percent, shape (); the model stays as it is."""
    return evaluate(nnx.clone(model), images, labels)[1]


def run(
    name: str,
    workload: Workload,
    dataset: Dataset,
    seed: int,
    momentum: float,
    epochs: int,
    num_batches: int,
    autodrop: EpochAutoDrop,
) -> tuple[list[Averaging], BatchNormRun]:
    """Trains both arms.

    Args:
      name: the workload's.
      workload: perceptron, recipe, batch size.
      dataset: its data.
      seed: of the initial parameters and of the order of the images.
      momentum: BatchNorm's.
      epochs: of each arm.
      num_batches: for a recomputation; those of an epoch if it has fewer.
      autodrop: its settings.

    Returns:
      The averagings, and the run's outcome.
    """
    init_key, order_key = jax.random.split(jax.random.key(seed))
    rngs = nnx.Rngs(init_key)
    mlp = workload.model(dataset, rngs)
    assert isinstance(mlp, MLP)
    model = BatchNormMLP(mlp, momentum, rngs=rngs)
    steps_per_epoch = len(dataset.train_labels) // workload.batch_size
    recipe = RunConfig(name, epochs=epochs).recipe(steps_per_epoch)
    scheduled = autodrop.filled(recipe).build(recipe)
    optimizer = nnx.Optimizer(model, scheduled.optimizer, wrt=nnx.Param)
    images, labels = dataset.train_inputs, dataset.train_labels

    def batches(epoch: int) -> jax.Array:
        size = workload.batch_size
        order = jax.random.permutation(
            jax.random.fold_in(order_key, epoch), len(labels)
        )
        return order[: len(labels) // size * size].reshape(-1, size)

    def error(model: nnx.Module) -> float:
        return float(percent_wrong(model, dataset.test_inputs, dataset.test_labels))

    arms = [(model, optimizer)]  # the second one begins with the first averaging
    course: list[tuple[float, float]] = []  # errors of both after each epoch's steps
    averagings: list[Averaging] = []
    differ_by = 0.0
    label = f"{name}, momentum {momentum}, seed {seed}"
    for epoch in tqdm(range(1, epochs + 1), desc=label, disable=None):
        for arm in arms:
            train_epoch(*arm, images, labels, batches(epoch))
        errors = [error(model) for model, _ in arms]
        course.append((errors[0], errors[-1]))
        before = nnx.clone(model)
        for arm in arms:
            end_epoch(*arm)
        differ_by = max(differ_by, _largest_difference(arms[0][0], arms[-1][0]))
        if not autodrop_metrics(optimizer)["averaged"]:
            continue
        if len(arms) == 1:
            arms.append(nnx.clone(arms[0]))
        inputs = [images[batch] for batch in batches(epoch + 1)[:num_batches]]
        recompute_batch_stats(arms[1][0], inputs)
        recompute_batch_stats(before, inputs)
        averagings.append(
            Averaging(
                workload=name,
                momentum=momentum,
                seed=seed,
                epoch=epoch,
                number=len(averagings) + 1,
                before=errors[0],
                before_recomputed=error(before),
                kept=error(arms[0][0]),
                recomputed=error(arms[1][0]),
                **dict.fromkeys(Averaging._fields[-6:], math.nan),
            )
        )
    averagings = [_with_later_errors(row, course) for row in averagings]
    # What the run leaves behind: an averaging after the last epoch counts.
    final = [error(model) for model, _ in arms]
    outcome = BatchNormRun(
        workload=name,
        momentum=momentum,
        seed=seed,
        averaged_after=" ".join(str(row.epoch) for row in averagings),
        final_kept=final[0],
        final_recomputed=final[-1],
        parameters_differ_by=differ_by,
    )
    return averagings, outcome


def _with_later_errors(
    row: Averaging, course: Sequence[tuple[float, float]]
) -> Averaging:
    later = {}
    for epochs in (1, 2, 4):
        # Epoch t is at index t - 1.
        index = row.epoch + epochs - 1
        kept, recomputed = (
            course[index] if index < len(course) else (math.nan, math.nan)
        )
        later |= {f"kept_{epochs}": kept, f"recomputed_{epochs}": recomputed}
    return row._replace(**later)


def _largest_difference(a: nnx.Module, b: nnx.Module) -> float:
    trees = [nnx.as_pure(nnx.state(model, nnx.Param)) for model in (a, b)]
    leaves = zip(*map(jax.tree.leaves, trees), strict=True)
    return max(float(np.abs(np.asarray(x) - np.asarray(y)).max()) for x, y in leaves)


def batch_norm(
    *,
    workloads: tuple[str, ...] = ("digits_mlp", "fashion_mnist_mlp"),
    momenta: tuple[float, ...] = (0.99, 0.9),
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    epochs: int = 60,
    num_batches: int = 50,
    autodrop: EpochAutoDrop = DEMO,
    data_dir: Path | None = None,
    results: Path = RESULTS,
) -> None:
    """What does recomputing BatchNorm's statistics after an averaging change?

    Args:
      workloads: data, perceptron and recipe.
      momenta: of BatchNorm's running statistics.
      seeds: one run each, with each workload and momentum.
      epochs: of each arm of a run.
      num_batches: training batches for a recomputation.
      autodrop: settings, by default the demo's.
      data_dir: folder with Fashion-MNIST's four files.
      results: folder for the two tables.
    """
    averagings: list[Averaging] = []
    runs: list[BatchNormRun] = []
    for name in workloads:
        workload = choose(WORKLOADS, "workload", name)
        dataset = workload.load(data_dir)
        for momentum, seed in itertools.product(momenta, seeds):
            rows, outcome = run(
                name, workload, dataset, seed, momentum, epochs, num_batches, autodrop
            )
            averagings += rows
            runs.append(outcome)
            # After every run: what is finished is kept.
            for name, kind, rows in (
                ("batch_stats.csv", Averaging, averagings),
                ("batch_stats_runs.csv", BatchNormRun, runs),
            ):
                write_csv(results / name, kind._fields, rows)
                write_provenance(results / name)
    print(averagings_table(averagings), runs_table(runs), sep="\n\n")
