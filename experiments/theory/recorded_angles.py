"""Angular velocities of real training runs at constant rates, recorded once.

`python -m experiments.theory.recorded_angles` trains anew and writes the file that
:mod:`experiments.theory.equation11_fit` reads (half an hour on two CPU cores). The
rates are those of the paper's Figure 2 (Teng, Wang, Choromanska, 2021), in which
ResNet-18 learns CIFAR-10; here it is the perceptrons of the experiments. Rates and
seeds were fixed before the first run, and every run is in the file.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro

from experiments.errors import choose
from experiments.run.progress import Progress
from experiments.run.training import train
from experiments.schedules.constant import Constant
from experiments.task.config import RunConfig
from experiments.task.workloads import WORKLOADS

RECORDED = Path(__file__).parents[1] / "results" / "theory" / "recorded_angles.csv"
RATES = (0.3, 0.1, 0.03, 0.01, 0.003)
SEEDS = (0, 1, 2)


class RecordedAngles(NamedTuple):
    """One run at a constant rate.

    Attributes:
      workload: name in `WORKLOADS`.
      learning_rate: the constant rate.
      seed: of the run.
      epoch: shape (epochs,), from 1.
      angle: angular velocity in degrees, shape (epochs,); NaN in the first epoch.
      train_loss: mean over the epoch's steps, shape (epochs,).
    """

    workload: str
    learning_rate: float
    seed: int
    epoch: np.ndarray
    angle: np.ndarray
    train_loss: np.ndarray


def constant_rate(workload: str, learning_rate: float, seed: int, epochs: int):
    """The configuration of a run whose rate is `learning_rate` from first to last."""
    return RunConfig(
        workload=workload,
        schedule=Constant(),
        epochs=epochs,
        seed=seed,
        learning_rate=learning_rate,
    )


def record(
    *,
    workloads: tuple[str, ...] = ("digits_mlp", "fashion_mnist_mlp"),
    rates: tuple[float, ...] = RATES,
    seeds: tuple[int, ...] = SEEDS,
    epochs: int = 60,
    runs: Path = Path("runs/angles"),
    csv_file: Path = RECORDED,
    data_dir: Path | None = None,
) -> None:
    """Trains every workload at every rate with every seed, and keeps the angles.

    What is finished in the folder is taken as it is, what was begun goes on.

    Args:
      workloads: names in `WORKLOADS`.
      rates: constant learning rates.
      seeds: one run each.
      epochs: passes over the training images.
      runs: folder for the runs.
      csv_file: file for the angles, one line per epoch.
      data_dir: folder with Fashion-MNIST's four files.
    """
    recorded = []
    for workload in workloads:
        dataset = choose(WORKLOADS, "workload", workload).load(data_dir)
        for rate in rates:
            for seed in seeds:
                config = constant_rate(workload, rate, seed, epochs)
                folder = runs / f"{workload}-rate{rate:g}-seed{seed}"
                with Progress(f"{workload}, {rate:g}, {seed}", epochs, 0) as progress:
                    rows = train(
                        config, folder, dataset, resume=True, on_epoch=progress.show
                    )
                columns = (
                    np.array([row[name] for row in rows])
                    for name in ("epoch", "angular_velocity", "train_loss")
                )
                recorded.append(RecordedAngles(workload, rate, seed, *columns))
    write(csv_file, recorded)
    print(f"table: {csv_file}")


def write(path: Path, runs: list[RecordedAngles]) -> None:
    """Writes one line per epoch of every run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ("workload", "learning_rate", "seed", "epoch", "angle", "train_loss")
        )
        for run in runs:
            for epoch, angle, loss in zip(
                run.epoch, run.angle, run.train_loss, strict=True
            ):
                # An angle carries 1e-3 degrees of rounding at most.
                values = (f"{int(epoch)}", f"{angle:.3f}", f"{loss:.4g}")
                writer.writerow(
                    (run.workload, f"{run.learning_rate:g}", run.seed, *values)
                )


def read(path: Path = RECORDED) -> list[RecordedAngles]:
    """Reads the runs in the order of the file."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return list(_grouped(rows))


def _grouped(rows: list[dict[str, str]]) -> Iterator[RecordedAngles]:
    keys = dict.fromkeys((r["workload"], r["learning_rate"], r["seed"]) for r in rows)
    for workload, rate, seed in keys:
        own = [
            row
            for row in rows
            if (row["workload"], row["learning_rate"], row["seed"])
            == (workload, rate, seed)
        ]
        yield RecordedAngles(
            workload,
            float(rate),
            int(seed),
            np.array([int(row["epoch"]) for row in own]),
            np.array([float(row["angle"]) for row in own]),
            np.array([float(row["train_loss"]) for row in own]),
        )


if __name__ == "__main__":
    tyro.cli(record)
