"""`python -m experiments.studies.convex`."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import tyro

from experiments.errors import UserError, choose
from experiments.studies.convex.problems import PROBLEMS
from experiments.studies.convex.runs import OPTIMIZERS
from experiments.studies.convex.study import Row, compare, rows
from experiments.studies.convex.tables import (
    read_csv,
    replace_tables,
    tables,
    write_csv,
)

README = Path(__file__).with_name("README.md")
RESULTS = Path(__file__).parents[2] / "results" / "convex.csv"


def convex(
    data: tyro.conf.Positional[tuple[str, ...]] = (),
    *,
    optimizer: str | None = None,
    tables_only: bool = False,
) -> None:
    """Compares schedules on logistic regression.

    Without arguments it makes experiments/results/convex.csv and the tables in the
    suite's README anew; with some it prints the tables of what they name.

    Args:
      data: names of data sets; by default all.
      optimizer: "adam" or "sgd"; by default both.
      tables_only: make the tables from the results that are there.
    """
    if not tables_only:
        found: list[Row] = []
        problems = {name: choose(PROBLEMS, "data set", name) for name in data}
        chosen = [optimizer] if optimizer else list(OPTIMIZERS)
        for name in chosen:
            choose(OPTIMIZERS, "optimizer", name)
            for data_name, load in (problems or PROBLEMS).items():
                start, problem = time.perf_counter(), load()
                found += rows(name, data_name, problem, compare(problem, name))
                took = time.perf_counter() - start
                print(f"{name}, {data_name}: {took:.0f} s", flush=True)
        if data or optimizer:
            print(tables(found))
            return
        write_csv(RESULTS, found)
    # As they are in the file, rounded.
    found = read_csv(RESULTS)
    README.write_text(replace_tables(README.read_text(), found))
    print(f"{RESULTS}, {README}")


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line; what the user can put right is shown as one sentence."""
    try:
        tyro.cli(convex, prog="python -m experiments.studies.convex", args=args)
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
