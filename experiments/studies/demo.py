"""The demo over seeds: AutoDrop beside schedules that are told the end.

All at the rate of each workload's recipe. What was asked before the runs: does AutoDrop
drop in each run, is its mean final error at most that of linear decay and a tenth of a
point, and is it below that of multi-step?
"""

from collections.abc import Iterable
from pathlib import Path

from experiments.demo import SCHEDULES
from experiments.report import tables
from experiments.run.environment import write_provenance
from experiments.studies.study import Arm, Runs, Study, arm
from experiments.task.workloads import WORKLOADS

TABLE = "demo.csv"
_SUFFIX = "_at_own_rate"  # the other studies' runs of these presets are at tuned rates


def at_own_rate(presets: Iterable[str], workload: str) -> list[Arm]:
    """Presets at the rate of the workload's recipe."""
    rate = WORKLOADS[workload].learning_rate
    return [arm(name, f"{name}{_SUFFIX}", learning_rate=rate) for name in presets]


def report_seeds(runs: Runs, results: Path, *, table: str = TABLE) -> None:
    """Writes one line per run, prints mean and standard deviation over the seeds."""
    found = [
        done.result._replace(schedule=done.job.preset.removesuffix(_SUFFIX))
        for done in runs.finished
    ]
    path = results / table
    tables.write_csv(path, found)
    write_provenance(path)
    print(tables.seeds_table(found))
    print(f"table: {path}")


DEMO = Study(
    what="What does the demo give on five seeds, at the recipe's rate?",
    workloads=("fashion_mnist_mlp", "digits_mlp"),
    seeds=(0, 1, 2, 3, 4),
    arms=lambda workload: at_own_rate(SCHEDULES, workload),
    report=report_seeds,
)
