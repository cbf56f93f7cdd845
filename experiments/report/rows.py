"""What is reported of a run, one line of a table."""

import csv
import statistics
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from experiments.report.outcome import best_error, drop_epochs
from experiments.report.statistics import markdown_table, mean_sd, t_limit, t_statistic
from experiments.run.jobs import FinishedJob
from experiments.run.record import read_commit

TARGET = "multistep"


class EvidenceRow(NamedTuple):
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


def evidence_rows(
    finished: Sequence[FinishedJob], target: float | None = None
) -> list[EvidenceRow]:
    """Summarises runs on one workload.

    Args:
      finished: the runs.
      target: percent; by default the mean final error of the runs of multi-step among
        them.

    Returns:
      A row for each run; none if there is no target.
    """
    if target is None:
        finals = [d.rows[-1]["test_error"] for d in finished if d.job.preset == TARGET]
        if not finals:
            return []
        target = statistics.mean(finals)
    return [evidence_row(done, target) for done in finished]


def evidence_row(done: FinishedJob, target: float) -> EvidenceRow:
    """Summarises a run."""
    errors = [row["test_error"] for row in done.rows]
    reached = (n for n, error in enumerate(errors, start=1) if error <= target)
    config = done.job.config
    return EvidenceRow(
        workload=config.workload,
        schedule=done.job.preset,
        seed=config.seed,
        final_error=errors[-1],
        best_error=best_error(done.rows),
        area=sum(errors),
        epochs_to_multistep=next(reached, len(errors) + 1),
        # Not the sum: compilation and pauses are no part of the method.
        seconds=len(done.rows) * statistics.median(r["seconds"] for r in done.rows),
        commit=read_commit(done.job.folder),
        drop_epochs=" ".join(map(str, drop_epochs(done.rows))),
    )


def write_rows(path: Path, rows: Iterable[EvidenceRow]) -> None:
    """Writes a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(EvidenceRow._fields)
        for row in rows:
            writer.writerow(
                f"{value:.4f}" if isinstance(value, float) else value for value in row
            )


def would_lose(path: Path, there: Iterable[Hashable], now: Iterable[Hashable]) -> bool:
    """Says so where a table has runs that a new one would not have.

    Args:
      path: of the table.
      there: what names each run in it.
      now: the same of the new one.
    """
    lost = set(there) - set(now)
    if lost:
        print(
            f"{path} stays as it is: {len(lost)} of its runs are not among these."
            " Choose another folder with --results, or delete it."
        )
    return bool(lost)


def read_rows(path: Path) -> list[EvidenceRow]:
    """Reads a table."""
    kinds = EvidenceRow.__annotations__
    with path.open(newline="") as file:
        return [
            EvidenceRow(**{name: kinds[name](value) for name, value in row.items()})
            for row in csv.DictReader(file)
        ]


def by_schedule(rows: Iterable[EvidenceRow]) -> dict[str, list[EvidenceRow]]:
    """Groups rows that stand together."""
    return {name: list(g) for name, g in groupby(rows, key=lambda row: row.schedule)}


def summary_table(rows: Sequence[EvidenceRow]) -> str:
    """One line per schedule, in the order of the rows; mean ± sd over the seeds."""
    header = (
        "schedule",
        "n",
        "final test error in %",
        "area",
        "epochs to multi-step's error",
        "seconds",
    )
    lines = []
    for name, group in by_schedule(rows).items():
        lines.append(
            (
                f"`{name}`",
                str(len(group)),
                mean_sd(row.final_error for row in group),
                mean_sd((row.area for row in group), 0),
                f"{statistics.median(row.epochs_to_multistep for row in group):g}",
                f"{statistics.median(row.seconds for row in group):.0f}",
            )
        )
    return markdown_table(header, lines)


def differences_table(rows: Sequence[EvidenceRow], baseline: str = TARGET) -> str:
    """Each schedule's final error minus a baseline's, taken seed by seed.

    Differences whose |t| exceeds the two-sided limit at 5 % are marked.
    """
    header = ("schedule", f"minus `{baseline}`, points of error", "n", "t", "limit")
    lines = [
        (f"`{name}`", *tested(differences))
        for name, differences in differences_by_schedule(rows, baseline).items()
    ]
    return markdown_table(header, lines)


def tested(differences: Sequence[float]) -> tuple[str, str, str, str]:
    """Cells: mean ± sd, n, t, bold where it exceeds its limit, and that limit."""
    n = len(differences)
    t, limit = t_statistic(differences), t_limit(n)
    mean, sd = statistics.mean(differences), statistics.stdev(differences)
    verdict = f"**{t:+.2f}**" if abs(t) > limit else f"{t:+.2f}"
    return f"{mean:+.2f} ± {sd:.2f}", str(n), verdict, f"{limit:.2f}"


def pairs_table(
    rows: Sequence[EvidenceRow], ours: str = "scaled_epoch_autodrop", base: str = TARGET
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
        found = tested([row.final_error - there[row.seed] for row in group])
        lines.append((f"`{ours}{setting}`", *found, drops))
    header = ("schedule", f"minus `{base}` there, points of error", "n", "t", "limit")
    return markdown_table((*header, "first drop after epoch"), lines)


def differences_by_schedule(
    rows: Sequence[EvidenceRow], baseline: str = TARGET
) -> dict[str, list[float]]:
    """The final errors minus a baseline's of the same seed, of two seeds or more."""
    groups = by_schedule(rows)
    base = {row.seed: row.final_error for row in groups.pop(baseline)}
    found = {
        name: [r.final_error - base[r.seed] for r in group if r.seed in base]
        for name, group in groups.items()
    }
    return {name: values for name, values in found.items() if len(values) > 1}


def finals_table(tables: Mapping[str, Sequence[EvidenceRow]]) -> str:
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
            t = t_statistic(differences)
            if abs(t) > t_limit(len(differences)):
                mark = "**" if t < 0 else "*"
                cells[name] = f"{mark}{cells[name]}{mark}"
        columns[title] = cells
    names = dict.fromkeys(name for cells in columns.values() for name in cells)
    lines = [
        (f"`{name}`", *(cells.get(name, "") for cells in columns.values()))
        for name in names
        if 2 * sum(name in cells for cells in columns.values()) >= len(columns)
    ]
    return markdown_table(("final test error in %", *columns), lines)
