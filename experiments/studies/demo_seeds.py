"""The demo's settings over seeds, beside multi-step, at each workload's own rate.

The runs are older than the tuned rates of the other studies.
"""

from pathlib import Path

from experiments.report import tables
from experiments.run.environment import write_provenance
from experiments.studies.study import Arm, Runs, Study, arm
from experiments.task.workloads import WORKLOADS

PRESETS = ("demo_autodrop", "multistep", "constant", "paper_autodrop")
TABLE = "demo.csv"
_SUFFIX = "_at_own_rate"  # the other studies' runs of these presets are at tuned rates


def arms(workload: str) -> list[Arm]:
    """The presets, at the rate of the workload's recipe."""
    rate = WORKLOADS[workload].learning_rate
    return [arm(name, f"{name}{_SUFFIX}", learning_rate=rate) for name in PRESETS]


def report(runs: Runs, results: Path) -> None:
    """Writes one line per run, prints mean and standard deviation over the seeds."""
    found = [
        done.result._replace(schedule=done.job.preset.removesuffix(_SUFFIX))
        for done in runs.finished
    ]
    path = results / TABLE
    tables.write_csv(path, found)
    write_provenance(path)
    print(tables.seeds_table(found))
    print(f"table: {path}")


DEMO_STUDY = Study(
    what="What do the demo's settings give on five seeds, at the recipe's rate?",
    workloads=("fashion_mnist_mlp", "digits_mlp"),
    seeds=(0, 1, 2, 3, 4),
    arms=arms,
    report=report,
)
