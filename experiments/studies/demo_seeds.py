"""What does the demo give on five seeds, at the recipe's rate?

What was asked before the runs: does AutoDrop drop in each run, is its mean final error
at most that of linear decay and a tenth of a point, and is it below that of multi-step?
"""

from collections.abc import Callable
from pathlib import Path

from experiments.demo import COMPARED
from experiments.report.csv_file import write_csv
from experiments.report.outcome import Outcome, seeds_table
from experiments.run.environment import write_provenance
from experiments.studies.plan import OWN_RATE, arm, at_own_rate
from experiments.studies.study import Runs, Study


def outcomes_into(table: str) -> Callable[[Runs, Path], None]:
    """The report of a study whose table has one line per run."""

    def report(runs: Runs, results: Path) -> None:
        outcomes = [
            Outcome.of(
                run.config.workload,
                run.label.removesuffix(OWN_RATE),
                run.config.seed,
                run.rows,
            )
            for run in runs.finished
        ]
        path = results / table
        write_csv(path, Outcome._fields, outcomes, ".4f")
        write_provenance(path)
        print(seeds_table(outcomes))
        print(f"table: {path}")

    return report


STUDY = Study(
    what="What does the demo give on five seeds, at the recipe's rate?",
    workloads=("fashion_mnist_mlp", "digits_mlp"),
    seeds=(0, 1, 2, 3, 4),
    arms=lambda workload: [at_own_rate(arm(name), workload) for name in COMPARED],
    report=outcomes_into("demo.csv"),
)
