"""Angular velocities of real training runs at constant rates, recorded once.

`python -m experiments study recorded_angles` trains anew and writes the file.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.report.csv_file import read_csv

RECORDED = Path(__file__).parents[1] / "results" / "studies" / "recorded_angles.csv"


class AngleRow(NamedTuple):
    """One epoch of one run; a line of recorded_angles.csv."""

    workload: str
    learning_rate: float
    seed: int
    epoch: int
    angle: float
    train_loss: float


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
    runs = itertools.groupby(read_csv(path, AngleRow), lambda row: row[:3])
    return [
        RecordedAngles(
            *run, *map(np.array, zip(*(row[3:] for row in rows), strict=True))
        )
        for run, rows in runs
    ]
