"""What does AutoDrop do where training is disturbed, changed, or set up otherwise?

The rules were written before the runs. A perceptron on Fashion-MNIST, 12 epochs, three
seeds, at half of the recipe's rate unless a case says otherwise; AutoDrop, its average
without drops, and linear decay to zero, which is told the end. What happens, happens
after half of the run. What counts is what a person would use, at every stop. The
recipe's clipping is none; where a case has it, gradients are clipped to a norm of 1.

With BatchNorm, on a ResNet at its recipe's rate: the average's error with the
statistics recomputed for it, and with those of the trained parameters.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from autodrop_optax import autodrop_restart
from experiments.data.dataset import Dataset
from experiments.report.csv_file import read_csv_if_any, write_csv
from experiments.report.hard_cases import (
    RECOMPUTED,
    STALE,
    HardRun,
    cases_table,
    stops_table,
)
from experiments.run.environment import write_provenance
from experiments.run.epoch import EpochOnDevice
from experiments.run.setup import Training
from experiments.schedules import SCHEDULES
from experiments.schedules.schedule import observed_apart
from experiments.studies.study import RESULTS
from experiments.task.config import RunConfig
from experiments.task.recipe import Recipe
from experiments.task.workloads import WORKLOADS

TABLE = "hard_cases.csv"
WORKLOAD = "fashion_mnist_mlp"
BATCH_NORM_WORKLOAD = "fashion_mnist_resnet"
EPOCHS = 12
STOPS = (1 / 4, 1 / 2, 3 / 4, 1.0)
METHODS = ("autodrop", "constant_average", "linear_decay")


@dataclass(frozen=True)
class Case:
    """How a run differs from the usual one."""

    rate_factor: float = 0.5  # of the recipe's rate
    batch_factor: int = 1  # of the recipe's batch size
    warm_up: float = 0.0  # part of the run in which the rate rises from zero
    clip: bool = False  # gradients, to a norm of 1
    noise: float = 0.0  # added to each leaf after half, in parts of its own scatter
    change: Callable[[Dataset], Dataset] | None = None  # the data from half on
    restart: bool = False  # autodrop_restart after half
    tune: bool = False  # after half begin anew, from a network of linear decay's


def inverted(dataset: Dataset) -> Dataset:
    """Dark is light: the same classes from other inputs."""
    train, test = -dataset.train_inputs, -dataset.test_inputs
    return dataset._replace(train_inputs=train, test_inputs=test)


def few_mirrored(dataset: Dataset) -> Dataset:
    """A tenth of the examples, left and right swapped: a small task like the first."""
    few = len(dataset.train_labels) // 10
    return dataset._replace(
        train_inputs=jnp.flip(dataset.train_inputs[:few], axis=2),
        train_labels=dataset.train_labels[:few],
        test_inputs=jnp.flip(dataset.test_inputs, axis=2),
    )


CASES = {
    "as usual": Case(),
    "a spike: noise as large as the parameters": Case(noise=1.0),
    "a spike, started over there": Case(noise=1.0, restart=True),
    "eight times the rate": Case(rate_factor=4),
    "eight times the rate, clipped": Case(rate_factor=4, clip=True),
    "eight times the rate, with a warm-up": Case(rate_factor=4, warm_up=1 / 8),
    "the data change": Case(change=inverted),
    "the data change, started over there": Case(change=inverted, restart=True),
    "four times the batch, the same rate": Case(batch_factor=4),
    "fine-tuning at a tenth of the rate": Case(change=few_mirrored, tune=True),
}


@dataclass(frozen=True)
class CaseRecipe(Recipe):
    """A recipe with what a case adds to the optimizer."""

    warm_up: int = 0  # steps
    clip: bool = False

    def optimizer(self, rate: Any) -> optax.GradientTransformation:
        """The recipe's, behind clipping and in front of the warm-up."""
        links = [super().optimizer(rate)]
        if self.clip:
            links.insert(0, optax.clip_by_global_norm(1.0))
        if self.warm_up:
            rise = optax.linear_schedule(1 / self.warm_up, 1.0, self.warm_up)
            links.append(optax.scale_by_schedule(rise))
        return optax.chain(*links)


def begin(case: Case, config: RunConfig, dataset: Dataset) -> Training:
    """The beginning of a run, with what the case changes."""
    usual = Training.of(config, dataset)
    size = usual.workload.batch_size * case.batch_factor
    workload = dataclasses.replace(usual.workload, batch_size=size)
    steps_per_epoch = len(dataset.train_labels) // size
    recipe = config.recipe(steps_per_epoch)
    recipe = CaseRecipe(
        **{x.name: getattr(recipe, x.name) for x in dataclasses.fields(Recipe)},
        warm_up=round(case.warm_up * recipe.steps),
        clip=case.clip,
    )
    scheduled = observed_apart(config.schedule.filled(recipe).build(recipe), recipe)
    return usual._replace(
        state=usual.state._replace(
            opt_state=scheduled.optimizer.init(usual.state.params)
        ),
        scheduled=scheduled,
        workload=workload,
        steps_per_epoch=steps_per_epoch,
    )


def perturbed(params: Any, noise: float, key: jax.Array) -> Any:
    """Adds noise to each leaf, in parts of its own standard deviation."""
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    return treedef.unflatten(
        [
            x + noise * jnp.std(x) * jax.random.normal(key, x.shape, x.dtype)
            for key, x in zip(keys, leaves, strict=True)
        ]
    )


def run_case(
    name: str, method: str, workload: str, dataset: Dataset, seed: int, epochs: int
) -> Iterator[HardRun]:
    """Trains one method in one case, and says where it stands at each stop.

    Args:
      name: of CASES.
      method: of METHODS.
      workload: one whose data are on the device.
      dataset: its data.
      seed: of the initial parameters, the order of the examples and the noise.
      epochs: of the run.
    """
    case = CASES[name]
    rate = case.rate_factor * WORKLOADS[workload].learning_rate
    schedule = SCHEDULES["linear_decay" if case.tune else method]()
    config = RunConfig(workload, schedule, epochs, seed, learning_rate=rate)
    half = epochs // 2
    if case.tune:
        config = dataclasses.replace(config, epochs=half)
    training = begin(case, config, dataset)
    epoch, state = EpochOnDevice(training, dataset), training.state
    stops = {max(1, round(stop * epochs)): stop for stop in STOPS}
    for number in range(1, epochs + 1):
        if number == half + 1:
            params = state.params
            if case.noise:
                key = jax.random.fold_in(training.order_key, number)
                state = state._replace(params=perturbed(params, case.noise, key))
            if case.change is not None:
                dataset = case.change(dataset)
            if case.tune:
                config = dataclasses.replace(
                    config,
                    schedule=SCHEDULES[method](),
                    learning_rate=rate / 10,
                    epochs=epochs - half,
                )
                training = begin(case, config, dataset)
                fresh = training.scheduled.optimizer.init(params)
                state = training.state._replace(
                    params=params, rest=state.rest, opt_state=fresh
                )
            if case.change is not None:
                epoch = EpochOnDevice(training, dataset)
            if case.restart and method != "linear_decay":
                opt_state = autodrop_restart(state.opt_state, state.params)
                state = state._replace(opt_state=opt_state)
        state, metrics = epoch(state, evaluated=number in stops)
        if number in stops:
            yield HardRun(
                case=name,
                schedule=method,
                seed=seed,
                horizon=stops[number],
                error=float(metrics["test_error"]),
                drops=int(metrics.get("num_drops", 0)),
            )


def batch_norm_stops(
    workload: str, dataset: Dataset, seed: int, epochs: int
) -> Iterator[HardRun]:
    """AutoDrop's average with either statistics of BatchNorm, at each stop."""
    config = RunConfig(workload, SCHEDULES["autodrop"](), epochs, seed)
    training = Training.of(config, dataset)
    epoch, state = EpochOnDevice(training, dataset), training.state
    average = training.scheduled.eval_params
    assert average is not None
    stops = {max(1, round(stop * epochs)): stop for stop in STOPS}
    for number in range(1, epochs + 1):
        state, metrics = epoch(state, evaluated=number in stops)
        if number in stops:
            params = average(state.opt_state, state.params)
            _, stale = epoch.evaluate("test", params, state.rest)
            errors = {RECOMPUTED: metrics["test_error"], STALE: stale}
            for case, error in errors.items():
                drops = int(metrics["num_drops"])
                stop = stops[number]
                yield HardRun(case, "autodrop", seed, stop, float(error), drops)


def hard_cases(
    *,
    seeds: tuple[int, ...] = (0, 1, 2),
    data_dir: Path | None = None,
    results: Path = RESULTS,
) -> None:
    """What does AutoDrop do where training is disturbed or set up otherwise?

    Args:
      seeds: one run each, in each case.
      data_dir: folder with Fashion-MNIST's four files.
      results: folder for the table; what is in it is not run again.
    """
    path = results / TABLE
    rows = read_csv_if_any(path, HardRun)
    done = {(row.case, row.schedule, row.seed) for row in rows}

    def keep(found: Iterator[HardRun]) -> None:
        rows.extend(found)
        # After every run: what is finished is kept.
        write_csv(path, HardRun._fields, rows)
        write_provenance(path)
        print(f"{rows[-1].case}, {rows[-1].schedule}, seed {rows[-1].seed}", flush=True)

    dataset = WORKLOADS[WORKLOAD].load(data_dir)
    for seed in seeds:
        for name in CASES:
            for method in METHODS:
                if (name, method, seed) not in done:
                    keep(run_case(name, method, WORKLOAD, dataset, seed, EPOCHS))
    dataset = WORKLOADS[BATCH_NORM_WORKLOAD].load(data_dir)
    for seed in seeds:
        if (STALE, "autodrop", seed) not in done:
            keep(batch_norm_stops(BATCH_NORM_WORKLOAD, dataset, seed, EPOCHS))
    print(f"table: {path}\n\n{cases_table(rows)}")
    print(f"\n{stops_table(rows, (RECOMPUTED, STALE))}")
