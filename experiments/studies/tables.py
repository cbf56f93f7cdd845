"""The table of a study: grown by several commands, or of runs compared."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from experiments.report.comparison import TARGET, ComparedRun, summary_table
from experiments.report.csv_file import read_csv_if_any, would_lose, write_csv
from experiments.run.environment import write_provenance
from experiments.run.record import read_commit
from experiments.studies.plan import FinishedRun
from experiments.studies.study import Runs

# The table of the study that has the error to reach among its own runs.
OWN_TARGET = "{workload}"

R = TypeVar("R", bound=tuple)


def add_to_table(
    path: Path,
    kind: type[R],
    found: Iterable[R],
    runs: Runs,
    *,
    named_by: int,
    order: Callable[[R], Any] = tuple,
) -> list[R]:
    """Adds lines to a table that several commands make, and says where it is.

    Args:
      path: of the table.
      kind: the named tuple of its lines.
      found: the new ones; they replace those that name the same.
      runs: what these were made of, for the provenance of each workload.
      named_by: how many of the first columns name a line.
      order: key of the lines' order; by default they are sorted.

    Returns:
      All lines.
    """
    rows = {row[:named_by]: row for row in (*read_csv_if_any(path, kind), *found)}
    lines = sorted(rows.values(), key=order)
    write_csv(path, list(kind.__annotations__), lines)
    for workload in runs.workloads:
        write_provenance(path, workload, runs.commits(workload))
    print(f"table: {path}")
    return lines


def write_tables(runs: Runs, results: Path, name: str = OWN_TARGET) -> None:
    """Writes and prints a table for each workload, with multi-step's error as target.

    A table that holds other runs as well is left alone.

    Args:
      runs: the finished ones.
      results: folder for the tables.
      name: of a table, without its suffix.
    """
    for workload in runs.workloads:
        path = results / f"{name.format(workload=workload)}.csv"
        target = target_of(workload, results) if name != OWN_TARGET else None
        compared = compared_runs(runs.of(workload), target)
        if not compared:
            print(f"{workload}: no run of {TARGET} is finished, so no error to reach.")
            continue
        there = read_csv_if_any(path, ComparedRun)
        if would_lose(path, (r[:3] for r in there), (r[:3] for r in compared)):
            continue
        write_csv(path, ComparedRun._fields, compared, ".4f")
        write_provenance(path)
        print(f"{workload}\n{summary_table(compared)}\ntable: {path}\n")


def tables(name: str) -> Callable[[Runs, Path], None]:
    """The report of a study that has tables alone; ``name`` is one's."""
    return lambda runs, results: write_tables(runs, results, name)


def target_of(workload: str, results: Path) -> float | None:
    """Returns the mean final error of multi-step in the study of schedules."""
    path = results / f"{workload}.csv"
    runs = read_csv_if_any(path, ComparedRun)
    finals = [run.final_error for run in runs if run.schedule == TARGET]
    return sum(finals) / len(finals) if finals else None


def compared_runs(
    finished: Sequence[FinishedRun], target: float | None = None
) -> list[ComparedRun]:
    """Summarises runs on one workload.

    Args:
      finished: the runs.
      target: percent; by default the mean final error of the runs of multi-step among
        them.

    Returns:
      A line for each run; none if there is no target.
    """
    if target is None:
        finals = [r.rows[-1]["test_error"] for r in finished if r.label == TARGET]
        if not finals:
            return []
        target = statistics.mean(finals)
    return [
        ComparedRun.of(
            run.config.workload,
            run.label,
            run.config.seed,
            run.rows,
            target=target,
            commit=read_commit(run.planned.folder),
        )
        for run in finished
    ]
