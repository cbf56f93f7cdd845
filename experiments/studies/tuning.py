"""The rate of each workload, tuned for the multi-step schedule alone."""

import csv
import math
from pathlib import Path

from experiments.report.rows import would_lose
from experiments.run.environment import write_provenance
from experiments.studies.equal_terms import FIRST, LONGER
from experiments.studies.study import Arm, Runs, Study, arm
from experiments.studies.tuned import TUNING, tuned_rate, validation_errors
from experiments.task.workloads import WORKLOADS

FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)  # of the workload's rate
# Where the best was at an end, the rule goes on by factors of two.
WIDER = {"fashion_mnist_mlp": (0.0625,)}


def arms(workload: str) -> list[Arm]:
    """Multi-step at rates around the workload's own, without a tenth held out."""
    rates = grid(workload)
    return [
        arm(
            "multistep_held_out",
            f"tuning_{rate:g}",
            learning_rate=rate,
        )
        for rate in rates
    ]


def grid(workload: str) -> list[float]:
    """The rates that are tried, from the lowest to the highest."""
    factors = sorted({*FACTORS, *WIDER.get(workload, ())})
    return [factor * WORKLOADS[workload].learning_rate for factor in factors]


def report(runs: Runs, results: Path) -> None:
    """Writes the validation errors of all workloads; test errors are not looked at."""
    path = results / TUNING
    there = []
    if path.exists():
        with path.open(newline="") as file:
            there = list(csv.reader(file))[1:]
    found = [
        [
            done.job.config.workload,
            f"{done.job.config.learning_rate:g}",
            str(done.job.config.seed),
            f"{done.rows[-1]['validation_error']:.4f}",
        ]
        for done in runs.finished
    ]
    kept = [line for line in there if line[0] not in runs.workloads]
    # The rates of all other studies come from here: a part does not replace the whole.
    keys = ([tuple(line[:3]) for line in lines] for lines in (there, kept + found))
    if would_lose(path, *keys):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("workload", "learning_rate", "seed", "validation_error"))
        writer.writerows([*kept, *found])
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


TUNING_STUDY = Study(
    what="Which rate suits the multi-step schedule, on examples held out?",
    workloads=(FIRST, "digits_mlp", *LONGER),
    seeds=(100, 101),
    arms=arms,
    report=report,
)
