"""The rates that tuning has found: a table that the other studies read."""

import csv
import statistics
from collections import defaultdict
from pathlib import Path

TUNING = "tuning.csv"


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
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["workload"] == workload:
                errors[float(row["learning_rate"])].append(
                    float(row["validation_error"])
                )
    return {rate: statistics.mean(values) for rate, values in sorted(errors.items())}
