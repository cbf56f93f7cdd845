"""The rates that tuning has found: a table that other studies read."""

import statistics
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from experiments.report.csv_file import read_csv
from experiments.report.tables import markdown_table

TUNING = "tuning.csv"


class TunedRun(NamedTuple):
    """A run of tuning; the test set is not looked at."""

    workload: str
    learning_rate: str  # as it is written
    seed: int
    validation_error: float  # percent, after the last epoch


def tuned_rate(workload: str, results: Path) -> float | None:
    """Returns the rate with the lowest mean validation error; None without a table.

    Of equal ones, the lower rate.
    """
    means = validation_errors(workload, results)
    return min(means, key=lambda rate: (means[rate], rate)) if means else None


def validation_errors(workload: str, results: Path) -> dict[float, float]:
    """Returns the mean final validation error in percent of each rate."""
    path = results / TUNING
    if not path.exists():
        return {}
    errors = defaultdict(list)
    for run in read_csv(path, TunedRun):
        if run.workload == workload:
            errors[float(run.learning_rate)].append(run.validation_error)
    return {rate: statistics.mean(values) for rate, values in sorted(errors.items())}


def tuning_table(results: Path) -> str:
    """The validation error of each workload at each rate; the lowest is bold."""
    path = results / TUNING
    workloads = dict.fromkeys(run.workload for run in read_csv(path, TunedRun))
    errors = {name: validation_errors(name, results) for name in workloads}
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
