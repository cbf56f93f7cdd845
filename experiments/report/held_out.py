"""Errors on examples held out, by which methods get their rates."""

from pathlib import Path
from typing import NamedTuple

from experiments.report.csv_file import read_csv


class HeldOutRun(NamedTuple):
    """A run for choosing a rate; the test set is not looked at."""

    workload: str
    schedule: str
    learning_rate: float
    seed: int
    error: float  # percent of the examples held out, after the last epoch


def best_rates(path: Path, workload: str) -> dict[str, float]:
    """Each method's rate with the lowest error; of equal ones the lower.

    Args:
      path: of the table; one that is not there has none.
      workload: its name. It has one run for each method and rate.
    """
    best: dict[str, tuple[float, float]] = {}
    for run in read_csv(path, HeldOutRun) if path.exists() else []:
        if run.workload == workload:
            found = run.error, run.learning_rate
            best[run.schedule] = min(found, best.get(run.schedule, found))
    return {name: rate for name, (_, rate) in best.items()}
