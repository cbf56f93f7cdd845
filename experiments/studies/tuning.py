"""Which rate suits the multi-step schedule, on examples held out?"""

import math
from pathlib import Path

from experiments.report.csv_file import read_csv, would_lose, write_csv
from experiments.report.tuning import TUNING, TunedRun, tuned_rate, validation_errors
from experiments.run.environment import write_provenance
from experiments.studies.plan import Arm, arm
from experiments.studies.schedules import FIRST, LONGER
from experiments.studies.study import Runs, Study
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
    path = results / TUNING
    there = read_csv(path, TunedRun) if path.exists() else []
    found = [
        TunedRun(
            run.config.workload,
            f"{run.config.learning_rate:g}",
            run.config.seed,
            run.rows[-1]["validation_error"],
        )
        for run in runs.finished
    ]
    kept = [run for run in there if run.workload not in runs.workloads]
    # The rates of all other studies come from here: a part does not replace the whole.
    keys = ([run[:3] for run in lines] for lines in (there, kept + found))
    if would_lose(path, *keys):
        return
    write_csv(path, TunedRun._fields, [*kept, *found], ".4f")
    write_provenance(path, parts=runs.workloads)
    for workload in runs.workloads:
        print(f"{workload}: final validation error in %, mean over seeds")
        for rate, error in validation_errors(workload, results).items():
            print(f"  rate {rate:<8g} {error:.3f}")
        best = tuned_rate(workload, results)
        assert best is not None
        rates = grid(workload)
        if any(math.isclose(best, end) for end in (rates[0], rates[-1])):
            print(f"  {best:g} is at the end of the grid: widen it.")


STUDY = Study(
    what="Which rate suits the multi-step schedule, on examples held out?",
    workloads=(FIRST, "digits_mlp", *LONGER),
    seeds=(100, 101),
    arms=arms,
    report=report,
)
