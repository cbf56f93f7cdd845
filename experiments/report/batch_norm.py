"""BatchNorm after an averaging: lines and tables."""

import math
import statistics
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import NamedTuple

from experiments.report.statistics import mean_sd
from experiments.report.tables import markdown_table


class Averaging(NamedTuple):
    """Test errors in % around one averaging; NaN where the run has ended before."""

    workload: str
    momentum: float  # BatchNorm's: of the running statistics, not of SGD
    seed: int
    epoch: int
    number: int  # of the run's averagings, from 1
    before: float
    before_recomputed: float  # the control
    kept: float
    recomputed: float
    kept_1: float  # the arm that keeps its statistics, 1 epoch later
    recomputed_1: float
    kept_2: float
    recomputed_2: float
    kept_4: float
    recomputed_4: float


class BatchNormRun(NamedTuple):
    """A run with its two arms; errors in %."""

    workload: str
    momentum: float
    seed: int
    averaged_after: str  # epochs
    final_kept: float
    final_recomputed: float
    parameters_differ_by: float  # largest difference between the arms, at any epoch


AROUND: dict[str, Callable[[Averaging], float]] = {
    "before": lambda row: row.before,
    "before, recomputed": lambda row: row.before_recomputed,
    "after, kept": lambda row: row.kept,
    "after, recomputed": lambda row: row.recomputed,
    "recomputed - kept": lambda row: row.recomputed - row.kept,
    "1 epoch later, kept": lambda row: row.kept_1,
    "1 epoch later, recomputed": lambda row: row.recomputed_1,
}


def averagings_table(averagings: Iterable[Averaging]) -> str:
    """Test errors around the averagings: first and later ones, over runs."""
    lines = []
    for (name, momentum), group in groupby(averagings, lambda row: row[:2]):
        rows = list(group)
        for which in ("first", "later"):
            chosen = [row for row in rows if (row.number == 1) == (which == "first")]
            by_seed = [list(runs) for _, runs in groupby(chosen, lambda r: r.seed)]
            cells = [
                mean_sd(_mean(map(value, runs)) for runs in by_seed)
                for value in AROUND.values()
            ]
            lines.append([f"`{name}`", str(momentum), which, *cells, str(len(by_seed))])
    header = ("workload", "momentum", "averaging", *AROUND, "runs")
    return markdown_table(header, lines)


def _mean(values: Iterable[float]) -> float:
    values = [value for value in values if not math.isnan(value)]
    return statistics.mean(values) if values else math.nan


def runs_table(runs: Iterable[BatchNormRun]) -> str:
    """Final test errors of both arms, over runs."""
    lines = []
    for (name, momentum), group in groupby(runs, lambda row: row[:2]):
        rows = list(group)
        lines.append(
            (
                f"`{name}`",
                str(momentum),
                mean_sd(row.final_kept for row in rows),
                mean_sd(row.final_recomputed for row in rows),
                mean_sd(row.final_recomputed - row.final_kept for row in rows),
                str(sum(len(row.averaged_after.split()) for row in rows)),
                str(len(rows)),
            )
        )
    header = ("workload", "momentum", "kept", "recomputed", "recomputed - kept")
    return markdown_table((*header, "averagings", "runs"), lines)
