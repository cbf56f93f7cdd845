"""The outcome of a run: a line of a table."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from experiments.report.statistics import mean_sd
from experiments.report.tables import aligned_table
from experiments.run.metrics import Row


class Outcome(NamedTuple):
    """A run by name, and what came of it."""

    workload: str
    schedule: str
    seed: int
    final_error: float  # percent, of the last epoch
    best_error: float  # percent, minimum over epochs: picked on the test set
    drop_epochs: str  # those at whose end the rate dropped, with spaces between
    # The median, which the first epoch's compilation and other work move little.
    seconds_per_epoch: float

    @classmethod
    def of(
        cls, workload: str, schedule: str, seed: int, rows: Sequence[Row]
    ) -> "Outcome":
        """Summarises a run's rows."""
        return cls(
            workload,
            schedule,
            seed,
            final_error=rows[-1]["test_error"],
            best_error=best_error(rows),
            drop_epochs=" ".join(map(str, drop_epochs(rows))),
            seconds_per_epoch=statistics.median(row["seconds"] for row in rows),
        )


def best_error(rows: Sequence[Row]) -> float:
    """Returns the lowest test error in percent, of the epochs that were evaluated."""
    return min(e for row in rows if not math.isnan(e := row["test_error"]))


def drop_epochs(rows: Sequence[Row]) -> list[int]:
    """Returns the epochs at whose end the rate dropped.

    Either AutoDrop counted a drop, or a rate that stood still, or has just dropped, is
    at most half as high in the next epoch; so a smooth schedule has none.
    """
    found: list[int] = []
    before = rows[0]["learning_rate"]  # what the rate was, or has dropped to
    count = 0.0
    # The last epoch has no next one: only AutoDrop's count can tell.
    for row, after in zip(rows, [*rows[1:], rows[-1]], strict=True):
        rate, later = row["learning_rate"], after["learning_rate"]
        still = math.isclose(rate, before, rel_tol=1e-3)
        dropped = row["num_drops"] > count or (still and later <= 0.5 * rate)
        if dropped:
            found.append(int(row["epoch"]))
        before, count = (later if dropped else rate), row["num_drops"]
    return found


def runs_table(outcomes: Iterable[Outcome], told: Mapping[str, str]) -> str:
    """One line per run, final errors first: the best is picked on the test set.

    Args:
      outcomes: of the runs.
      told: what each schedule must be told.
    """
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
            run.schedule,
            told[run.schedule],
            str(run.seed),
            f"{run.final_error:.2f} %",
            f"{run.best_error:.2f} %",
            _epochs(run),
            f"{run.seconds_per_epoch:.2f}",
        )
        for run in outcomes
    ]
    return aligned_table(header, lines)


def seeds_table(outcomes: Iterable[Outcome]) -> str:
    """One line per workload and schedule: mean and standard deviation over seeds."""
    header = ("workload", "schedule", "n", "final test error", "drops after epochs")
    lines = []
    for (workload, schedule), group in groupby(outcomes, key=lambda run: run[:2]):
        runs = list(group)
        error = mean_sd(run.final_error for run in runs)
        drops = " | ".join(map(_epochs, runs))
        lines.append((workload, schedule, str(len(runs)), f"{error} %", drops))
    return aligned_table(header, lines)


def _epochs(run: Outcome) -> str:
    """The epochs, or how many where they are too many to read."""
    epochs = run.drop_epochs.split()
    return f"{len(epochs)} of them" if len(epochs) > 12 else " ".join(epochs) or "none"
