"""Which rate suits the multi-step schedule, on examples held out?"""

import math
from pathlib import Path

from experiments.report.held_out import (
    TUNED,
    TUNING,
    HeldOutRun,
    errors_by_rate,
    tuned_rate,
)
from experiments.studies.plan import Arm, arm
from experiments.studies.schedules import FIRST, LONGER
from experiments.studies.study import Runs, Study
from experiments.studies.tables import add_to_table
from experiments.task.workloads import WORKLOADS

FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)  # of the workload's rate
# Where the best was at an end, the rule goes on by factors of two.
WIDER = {"fashion_mnist_mlp": (0.0625,)}


def arms(workload: str) -> list[Arm]:
    """Multi-step at rates around the workload's own, without a tenth held out."""
    return [
        arm("multistep_held_out", f"tuning_{rate:g}", learning_rate=rate)
        for rate in grid(workload)
    ]


def grid(workload: str) -> list[float]:
    """The rates that are tried, from the lowest to the highest."""
    factors = sorted({*FACTORS, *WIDER.get(workload, ())})
    return [factor * WORKLOADS[workload].learning_rate for factor in factors]


def report(runs: Runs, results: Path) -> None:
    """Writes the validation errors of all workloads; test errors are not looked at."""
    found = [
        HeldOutRun(
            run.config.workload,
            run.config.schedule_name,
            run.config.recipe(0).learning_rate,
            run.config.seed,
            run.rows[-1]["validation_error"],
        )
        for run in runs.finished
    ]
    path = results / TUNING
    add_to_table(path, HeldOutRun, found, runs, named_by=4, order=order)
    for workload in runs.workloads:
        print(f"{workload}: final validation error in %, mean over seeds")
        for rate, error in errors_by_rate(path, workload)[TUNED].items():
            print(f"  rate {rate:<8g} {error:.3f}")
        best = tuned_rate(workload, results)
        assert best is not None
        rates = grid(workload)
        if any(math.isclose(best, end) for end in (rates[0], rates[-1])):
            print(f"  {best:g} is at the end of the grid: widen it.")


def order(row: HeldOutRun) -> tuple:
    """The order of the table: workloads as they are listed."""
    return list(WORKLOADS).index(row.workload), *row[1:]


STUDY = Study(
    what="Which rate suits the multi-step schedule, on examples held out?",
    workloads=(FIRST, "digits_mlp", *LONGER),
    seeds=(100, 101),
    arms=arms,
    report=report,
)
