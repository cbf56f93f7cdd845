"""The command of the convex suite."""

import time
from pathlib import Path

import tyro

from experiments.errors import choose
from experiments.report.convex import ConvexRow, convex_tables
from experiments.report.csv_file import write_csv
from experiments.run.environment import write_provenance
from experiments.studies.convex.problems import PROBLEMS
from experiments.studies.convex.runs import MAKERS
from experiments.studies.convex.study import compare, rows
from experiments.studies.study import RESULTS


def convex(
    data: tyro.conf.Positional[tuple[str, ...]] = (),
    *,
    optimizer: str | None = None,
    results: Path = RESULTS,
) -> None:
    """How do schedules, refined ones among them, compare on logistic regression?

    Without arguments it writes convex.csv; with some it prints the tables of what they
    name.

    Args:
      data: names of data sets; by default all.
      optimizer: "adam" or "sgd"; by default both.
      results: folder for the table.
    """
    problems = {name: choose(PROBLEMS, "data set", name) for name in data} or PROBLEMS
    optimizers = [optimizer] if optimizer else list(MAKERS)
    for name in optimizers:
        choose(MAKERS, "optimizer", name)
    found: list[ConvexRow] = []
    for name in optimizers:
        for data_name, load in problems.items():
            start, problem = time.perf_counter(), load()
            found += rows(name, data_name, problem, compare(problem, name))
            print(f"{name}, {data_name}: {time.perf_counter() - start:.0f} s")
    if data or optimizer:
        print(convex_tables(found))
        return
    path = results / "convex.csv"
    write_csv(path, ConvexRow._fields, found)
    write_provenance(path)
    print(f"table: {path}; `python -m experiments report` puts it on its page")
