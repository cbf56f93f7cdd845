"""The demo's settings over seeds, beside multi-step, at each workload's own rate.

The runs are older than the tuned rates of the other studies.
"""

import functools

from experiments.studies.demo import at_own_rate, report_seeds
from experiments.studies.study import Arm, Study

PRESETS = ("demo_autodrop", "multistep", "constant", "paper_autodrop")
TABLE = "epoch_demo.csv"


def arms(workload: str) -> list[Arm]:
    """The presets, at the rate of the workload's recipe."""
    return at_own_rate(PRESETS, workload)


EPOCH_DEMO = Study(
    what="What do settings of epoch_autodrop, tuned for 60 epochs, give on five seeds?",
    workloads=("fashion_mnist_mlp", "digits_mlp"),
    seeds=(0, 1, 2, 3, 4),
    arms=arms,
    report=functools.partial(report_seeds, table=TABLE),
)
