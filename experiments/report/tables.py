"""Tables of finished runs: as text, and as CSV to keep."""

import csv
import statistics
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from experiments.report.outcome import Summary


class Result(NamedTuple):
    """A run by name, and its outcome."""

    workload: str
    schedule: str
    seed: int
    summary: Summary
    told: str  # what the schedule must be told


def runs_table(results: Iterable[Result]) -> str:
    """One line per run, final errors first: the best is picked on the test set."""
    header = (
        "schedule",
        "told",
        "seed",
        "final test error",
        "best (minimum over epochs)",
        "drops after epochs",
        "s/epoch",
    )
    lines = [
        (
            result.schedule,
            result.told,
            str(result.seed),
            f"{result.summary.final_error:.2f} %",
            f"{result.summary.best_error:.2f} %",
            _epochs(result.summary.drop_epochs),
            f"{result.summary.seconds_per_epoch:.2f}",
        )
        for result in results
    ]
    return _aligned(header, lines)


def seeds_table(results: Iterable[Result]) -> str:
    """One line per workload and schedule: mean and standard deviation over seeds."""
    header = ("workload", "schedule", "n", "final test error", "drops after epochs")
    lines = []
    for (workload, schedule), group in groupby(results, key=lambda r: r[:2]):
        summaries = [result.summary for result in group]
        errors = [summary.final_error for summary in summaries]
        drops = [_epochs(summary.drop_epochs) for summary in summaries]
        lines.append(
            (
                workload,
                schedule,
                str(len(errors)),
                f"{statistics.mean(errors):.2f} ± {_sd(errors)} %",
                " | ".join(drops),
            )
        )
    return _aligned(header, lines)


def write_csv(path: Path, results: Iterable[Result]) -> None:
    """Writes one line per run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ("workload", "schedule", "seed", *Summary._fields),
        )
        for workload, schedule, seed, summary, _ in results:
            writer.writerow(
                (
                    workload,
                    schedule,
                    seed,
                    f"{summary.final_error:.4f}",
                    f"{summary.best_error:.4f}",
                    " ".join(map(str, summary.drop_epochs)),
                    f"{summary.seconds_per_epoch:.3f}",
                )
            )


def _epochs(epochs: Sequence[int]) -> str:
    """The epochs, or how many where they are too many to read."""
    if len(epochs) > 12:
        return f"{len(epochs)} of them"
    return " ".join(map(str, epochs)) or "none"


def _sd(values: Sequence[float]) -> str:
    """The sample standard deviation (n - 1), which one value does not have."""
    return f"{statistics.stdev(values):.2f}" if len(values) > 1 else "?"


def _aligned(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [header, *lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
