"""Angular velocities of real training runs at constant rates, recorded once.

`python -m experiments study recorded_angles` trains anew and writes the file.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

RECORDED = Path(__file__).parents[1] / "results" / "theory" / "recorded_angles.csv"


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
