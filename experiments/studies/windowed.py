"""Does the angle of windowed AutoDrop know more than a clock?

`python -m experiments.studies.windowed` makes the runs that the README's rules name and
writes their tables. Finished runs in the folder are taken as they are.
"""

import csv
import itertools
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import tyro

from autodrop_optax import autodrop_metrics, windowed_autodrop
from experiments.data.dataset import Dataset
from experiments.errors import UserError, choose
from experiments.report import figures
from experiments.run.jobs import FinishedJob, Job, plan, run_all
from experiments.schedules.matched_exponential import MatchedExponential
from experiments.schedules.windowed_autodrop import (
    WINDOWS_PER_RUN,
    WindowedAutoDrop,
    scaled_window,
)
from experiments.studies import windowed_figure
from experiments.studies.windowed_tables import all_tables
from experiments.task.config import RunConfig
from experiments.task.workloads import WORKLOADS

Part = Literal["comparison", "window_steps", "random_walk"]
Smoothing = Literal["time", "value"]

BUFFER_SIZE = WindowedAutoDrop().buffer_size
WINDOW_STEPS = (1, 4, 8, 16, 32)  # beside 2, the rule's, and 64, the paper's
FIRST_ANGLE = 3  # the window that it is the angle of


@dataclass(frozen=True)
class StudyConfig:
    """Runs windowed AutoDrop and its controls, and writes results/windowed*.csv."""

    parts: tuple[Part, ...] = get_args(Part)
    """What to run."""
    workloads: tuple[str, ...] = ("fashion_mnist_mlp", "digits_mlp")
    """Of the comparison; the dependence on window_steps is on the digits."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """One run each; the first three for the dependence on window_steps."""
    epochs: int = 60
    """Passes over the training images."""
    out: Path = Path("runs/windowed")
    """Folder for the runs."""
    results: Path = Path("experiments/results")
    """Folder for the tables."""
    data_dir: Path | None = None
    """Folder with Fashion-MNIST's four files."""


class Outcome(NamedTuple):
    """A run's line in a table; NaN where the schedule has no windows."""

    workload: str
    schedule: str
    seed: int
    window_steps: float
    final_error: float  # percent
    final_rate: float  # at the first step of the last epoch
    num_drops: float
    spacing: float  # windows per drop, from the first angle to the last drop
    share: float  # drops per window in which one could come

    @classmethod
    def of(cls, done: FinishedJob, schedule: str, window_steps: int | None):
        """Reads a finished run."""
        config, last = done.job.config, done.rows[-1]
        drops, spacing, share = math.nan, math.nan, math.nan
        if window_steps is not None:
            drops = last["num_drops"]
            spacing, share = spacing_of(
                last["window"], last["windows_since_drop"], drops
            )
        return cls(
            config.workload,
            schedule,
            config.seed,
            math.nan if window_steps is None else window_steps,
            last["test_error"],
            last["learning_rate"],
            drops,
            spacing,
            share,
        )


def spacing_of(window: float, since: float, drops: float) -> tuple[float, float]:
    """Returns the windows per drop and the drops per window in which one could come.

    A drop can come in a window once it has ``buffer_size`` angles before it since the
    last drop. The phases start with the first angle, that of window 3.

    Args:
      window: windows in all.
      since: windows since the last drop.
      drops: drops in all.
    """
    if not drops:
        possible = max(0.0, window - (FIRST_ANGLE - 1) - BUFFER_SIZE)
        return math.nan, 0.0 if possible else math.nan
    angles = window - since - (FIRST_ANGLE - 1)  # up to the last drop
    possible = angles - BUFFER_SIZE * drops + max(0.0, since - BUFFER_SIZE)
    return angles / drops, drops / possible


def comparison(config: StudyConfig) -> Iterator[Outcome]:
    """The windowed method, with scaled and published windows, and what it must beat."""
    for workload in config.workloads:
        dataset = load(workload, config)
        steps = config.epochs * steps_per_epoch(workload, dataset)
        arguments = workload, config.epochs, config.seeds, config.out
        of_windows = []
        k = scaled_window(steps)
        for done in run_all(plan(("windowed_autodrop",), *arguments), dataset):
            outcome = Outcome.of(done, "windowed_autodrop", k)
            of_windows.append(outcome)
            yield outcome
        for done in run_all(matched(of_windows, config), dataset):
            yield Outcome.of(done, "matched_exponential", None)
        for name, window_steps in (
            ("exponential", None),
            ("linear_decay", None),
            ("windowed_autodrop_64", 64),
        ):
            for done in run_all(plan((name,), *arguments), dataset):
                yield Outcome.of(done, name, window_steps)


def matched(outcomes: Iterable[Outcome], config: StudyConfig) -> Iterator[Job]:
    """For each run a staircase with as many drops, evenly spaced."""
    for outcome in outcomes:
        workload, seed = outcome.workload, outcome.seed
        schedule = MatchedExponential(num_drops=int(outcome.num_drops))
        run_config = RunConfig(workload, schedule, config.epochs, seed)
        folder = config.out / f"{workload}-matched_exponential-seed{seed}"
        yield Job("matched_exponential", run_config, folder)


def dependence_on_window_steps(config: StudyConfig) -> Iterator[Outcome]:
    """Windows shorter and longer than the rule's, on the digits."""
    workload = "digits_mlp"
    dataset = load(workload, config)
    for window_steps in WINDOW_STEPS:
        schedule = WindowedAutoDrop(window_steps=window_steps)
        name = f"windowed_autodrop_{window_steps}"
        jobs = []
        for seed in config.seeds[:3]:
            run_config = RunConfig(workload, schedule, config.epochs, seed)
            folder = config.out / f"{workload}-{name}-seed{seed}"
            jobs.append(Job(name, run_config, folder))
        for done in run_all(jobs, dataset):
            yield Outcome.of(done, name, window_steps)


def load(workload: str, config: StudyConfig) -> Dataset:
    """Loads a workload's data."""
    return choose(WORKLOADS, "workload", workload).load(config.data_dir)


def steps_per_epoch(workload: str, dataset: Dataset) -> int:
    """Optimizer steps of an epoch."""
    return len(dataset.train_labels) // WORKLOADS[workload].batch_size


class Walk(NamedTuple):
    """What windowed AutoDrop does with parameters that no gradient moves."""

    inputs: str
    parameters: int
    smoothing: str
    two_sided: bool
    seed: int
    num_drops: float
    spacing: float  # as in Outcome
    share: float


def random_walks(config: StudyConfig) -> Iterator[Walk]:
    """1200 windows of parameters without any signal, of 2 steps each."""
    for size in (100, 10_000, 269_322):  # the last is the perceptron's
        for seed in config.seeds:
            yield from walks(size, seed, WINDOWS_PER_RUN)


def walks(size: int, seed: int, windows: int) -> list[Walk]:
    """The same normal numbers, scaled by the rate, for every reading of the method.

    As a random walk they are summed up; as white noise each stands in place of the
    last.
    """
    cases = list(
        itertools.product(
            ("random walk", "white noise"), get_args(Smoothing), (False, True)
        )
    )
    links = [
        windowed_autodrop(
            1.0,
            window_steps=2,
            min_learning_rate=0.0,
            smoothing=smoothing,
            two_sided=two_sided,
        )
        for _, smoothing, two_sided in cases
    ]

    def step(carry, key):
        noise = jax.random.normal(key, (size,))
        after = []
        for (inputs, *_), link, (x, state) in zip(cases, links, carry, strict=True):
            scaled, state = link.update(noise, state, x)
            after.append((x + scaled if inputs == "random walk" else scaled, state))
        return after, None

    @jax.jit
    def run(key):
        x = jnp.zeros(size)
        start = [(x, link.init(x)) for link in links]
        carry, _ = jax.lax.scan(step, start, jax.random.split(key, 2 * windows))
        return [autodrop_metrics(state) for _, state in carry]

    found = []
    for case, metrics in zip(cases, run(jax.random.key(seed)), strict=True):
        drops, window, since = (
            float(metrics[name])
            for name in ("num_drops", "window", "windows_since_drop")
        )
        spacing, share = spacing_of(window, since, drops)
        inputs, smoothing, two_sided = case
        found.append(
            Walk(inputs, size, smoothing, two_sided, seed, drops, spacing, share)
        )
    return found


PARTS = {
    "comparison": ("windowed.csv", Outcome, comparison),
    "window_steps": ("window_steps.csv", Outcome, dependence_on_window_steps),
    "random_walk": ("random_walk.csv", Walk, random_walks),
}


def study(config: StudyConfig) -> None:
    """Makes the runs, writes a table of each part, prints those of the README."""
    for part in config.parts:
        name, row_type, rows = PARTS[part]
        path = config.results / name
        write_csv(path, row_type._fields, rows(config))
        print(f"table: {path}", flush=True)
        if part == "comparison":
            figure = windowed_figure.draw(config.out, config.workloads, config.seeds)
            figures.save(figure, config.results / "windowed.png")
    names = ["studies/epoch_demo.csv", *(name for name, *_ in PARTS.values())]
    if all((config.results / name).exists() for name in names):
        print(all_tables(config.results))


def write_csv(path: Path, header: Sequence[str], rows: Iterable[tuple]) -> None:
    """Writes rows of words and numbers; NaN as nothing."""
    lines = [[formatted(value) for value in row] for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([header, *lines])


def formatted(value: object) -> str:
    """A cell."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    config = tyro.cli(
        StudyConfig, prog="python -m experiments.studies.windowed", args=args
    )
    try:
        study(config)
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
