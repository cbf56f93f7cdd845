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


def tuning_table(workload: str, results: Path) -> str:
    """The validation error at each rate; the lowest is bold."""
    errors = validation_errors(workload, results)
    if not errors:
        raise FileNotFoundError(f"no rates of {workload} in {results / TUNING}")
    best = tuned_rate(workload, results)
    cells = {f"{r:g}": f"{e:.2f}" for r, e in errors.items()}
    cells[f"{best:g}"] = f"**{cells[f'{best:g}']}**"
    return markdown_table(["rate", *cells], [[f"`{workload}`", *cells.values()]])
