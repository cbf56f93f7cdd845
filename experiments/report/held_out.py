"""Errors on examples held out, by which rates are chosen."""

import statistics
from pathlib import Path
from typing import NamedTuple

from experiments.report.csv_file import read_csv, read_csv_if_any
from experiments.report.tables import markdown_table

TUNING = "tuning.csv"  # of the rate that all studies on equal terms share
TUNED = "multistep"  # the schedule that it is tuned for


class HeldOutRun(NamedTuple):
    """A run for choosing a rate; the test set is not looked at."""

    workload: str
    schedule: str
    learning_rate: float
    seed: int
    error: float  # percent of the examples held out, after the last epoch


def errors_by_rate(path: Path, workload: str) -> dict[str, dict[float, float]]:
    """Each schedule's mean errors over seeds, by rate, from the lowest rate on.

    Args:
      path: of the table; one that is not there has none.
      workload: its name.
    """
    errors: dict[str, dict[float, list[float]]] = {}
    for run in sorted(read_csv_if_any(path, HeldOutRun)):
        if run.workload == workload:
            cells = errors.setdefault(run.schedule, {})
            cells.setdefault(run.learning_rate, []).append(run.error)
    return {
        name: {rate: statistics.mean(found) for rate, found in cells.items()}
        for name, cells in errors.items()
    }


def best_rates(path: Path, workload: str) -> dict[str, float]:
    """Each schedule's rate with the lowest mean error; of equal ones the lower."""
    return {
        name: min(means, key=lambda rate: means[rate])
        for name, means in errors_by_rate(path, workload).items()
    }


def tuned_rate(workload: str, results: Path) -> float | None:
    """The rate of a workload in the studies on equal terms; None without a table."""
    return best_rates(results / TUNING, workload).get(TUNED)


def tuning_table(results: Path) -> str:
    """The error of each workload at each rate that was tried; the lowest is bold."""
    path = results / TUNING
    workloads = dict.fromkeys(run.workload for run in read_csv(path, HeldOutRun))
    errors = {name: errors_by_rate(path, name)[TUNED] for name in workloads}
    rates = sorted(set().union(*errors.values()))

    def cell(workload: str, rate: float) -> str:
        if rate not in errors[workload]:
            return ""
        mark = "**" if rate == tuned_rate(workload, results) else ""
        return f"{mark}{errors[workload][rate]:.2f}{mark}"

    return markdown_table(
        ["rate", *(f"{rate:g}" for rate in rates)],
        [[f"`{name}`", *(cell(name, rate) for rate in rates)] for name in errors],
    )
