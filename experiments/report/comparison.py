"""Runs compared with one another: a line for each, and tables over their seeds."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from experiments.report.outcome import best_error, drop_epochs
from experiments.report.statistics import (
    difference,
    mean_sd,
    t_statistic,
    told_apart,
)
from experiments.report.tables import markdown_table
from experiments.run.metrics import Row

TARGET = "multistep"
BASELINES = (TARGET, "linear_decay")


class ComparedRun(NamedTuple):
    """A run's outcome on the test set."""

    workload: str
    schedule: str
    seed: int
    final_error: float  # percent, after the last epoch
    best_error: float  # percent, the minimum over epochs: picked on the test set
    area: float  # percent x epochs: the sum of the errors after each epoch, if all are
    # First epoch after which the error is at most the mean final error of multi-step;
    # one more than there are where there is none.
    epochs_to_multistep: int
    seconds: float  # the median of an epoch times their number
    commit: str
    drop_epochs: str  # those at whose end the rate dropped, with spaces between

    @classmethod
    def of(
        cls,
        workload: str,
        schedule: str,
        seed: int,
        rows: Sequence[Row],
        *,
        target: float,
        commit: str,
    ) -> "ComparedRun":
        """Summarises a run's rows; the target is the error to reach, in percent."""
        errors = [row["test_error"] for row in rows]
        reached = (n for n, error in enumerate(errors, start=1) if error <= target)
        return cls(
            workload,
            schedule,
            seed,
            final_error=errors[-1],
            best_error=best_error(rows),
            area=sum(errors),
            epochs_to_multistep=next(reached, len(errors) + 1),
            # Not the sum: compilation and pauses are no part of the method.
            seconds=len(rows) * statistics.median(row["seconds"] for row in rows),
            commit=commit,
            drop_epochs=" ".join(map(str, drop_epochs(rows))),
        )


def by_schedule(runs: Iterable[ComparedRun]) -> dict[str, list[ComparedRun]]:
    """Groups runs that stand together."""
    return {name: list(g) for name, g in groupby(runs, key=lambda run: run.schedule)}


def summary_table(
    rows: Sequence[ComparedRun], baselines: Sequence[str] = BASELINES
) -> str:
    """One line per schedule, in the order of the rows; mean ± sd over the seeds.

    Args:
      rows: of one workload.
      baselines: schedules whose final error is taken from the others', seed by seed;
        bold where told apart.
    """
    groups = by_schedule(rows)
    minus = {x: differences_by_schedule(rows, x) for x in baselines if x in groups}
    header = (
        "schedule",
        "n",
        "final test error in %",
        *(f"minus `{baseline}`" for baseline in minus),
        "epochs to multi-step's error",
    )
    lines = [
        (
            f"`{name}`",
            str(len(group)),
            mean_sd(run.final_error for run in group),
            *(difference(found.get(name, ())) for found in minus.values()),
            f"{statistics.median(run.epochs_to_multistep for run in group):g}",
        )
        for name, group in groups.items()
    ]
    return markdown_table(header, lines)


def pairs_table(
    rows: Sequence[ComparedRun], ours: str = "scaled_epoch_autodrop", base: str = TARGET
) -> str:
    """AutoDrop's final error minus multi-step's in the same setting, seed by seed.

    Args:
      rows: of arms whose labels are a preset and, behind it, the setting.
      ours: the preset that is compared.
      base: the one it is compared with.
    """
    groups = by_schedule(rows)
    settings = [x.removeprefix(ours) for x in groups if x.startswith(ours)]
    lines = []
    for setting in settings:
        if base + setting not in groups:
            continue
        there = {row.seed: row.final_error for row in groups[base + setting]}
        group = [row for row in groups[ours + setting] if row.seed in there]
        drops = "; ".join(row.drop_epochs.split(" ")[0] or "none" for row in group)
        found = [row.final_error - there[row.seed] for row in group]
        lines.append((f"`{ours}{setting}`", str(len(group)), difference(found), drops))
    header = ("schedule", "n", f"minus `{base}` there", "first drop after epoch")
    return markdown_table(header, lines)


def differences_by_schedule(
    rows: Sequence[ComparedRun], baseline: str = TARGET
) -> dict[str, list[float]]:
    """The final errors minus a baseline's of the same seed, of two seeds or more."""
    groups = by_schedule(rows)
    base = {row.seed: row.final_error for row in groups.pop(baseline)}
    found = {
        name: [r.final_error - base[r.seed] for r in group if r.seed in base]
        for name, group in groups.items()
    }
    return {name: values for name, values in found.items() if len(values) > 1}


def finals_table(tables: Mapping[str, Sequence[ComparedRun]]) -> str:
    """The final errors of several workloads, a column each.

    A schedule has a line if it ran on half of them or more. Errors that the t test
    tells from multi-step's are bold where they are lower and in italics where they are
    higher.

    Args:
      tables: the rows of each workload, under the title of its column.
    """
    columns = {}
    for title, rows in tables.items():
        cells = {
            name: mean_sd(r.final_error for r in group)
            for name, group in by_schedule(rows).items()
        }
        for name, differences in differences_by_schedule(rows).items():
            if told_apart(differences):
                mark = "**" if t_statistic(differences) < 0 else "*"
                cells[name] = f"{mark}{cells[name]}{mark}"
        columns[title] = cells
    names = dict.fromkeys(name for cells in columns.values() for name in cells)
    lines = [
        (f"`{name}`", *(cells.get(name, "") for cells in columns.values()))
        for name in names
        if 2 * sum(name in cells for cells in columns.values()) >= len(columns)
    ]
    return markdown_table(("final test error in %", *columns), lines)
