"""What do settings of epoch_autodrop, tuned for 60 epochs, give on five seeds?

The runs are older than the tuned rates of the other studies.
"""

from experiments.studies.demo_seeds import outcomes_into
from experiments.studies.plan import Arm, arm, at_own_rate
from experiments.studies.study import Study

PRESETS = ("demo_autodrop", "multistep", "constant", "paper_autodrop")


def arms(workload: str) -> list[Arm]:
    """The presets, at the rate of the workload's recipe."""
    return [at_own_rate(arm(name), workload) for name in PRESETS]


STUDY = Study(
    what="What do settings of epoch_autodrop, tuned for 60 epochs, give on five seeds?",
    workloads=("fashion_mnist_mlp", "digits_mlp"),
    seeds=(0, 1, 2, 3, 4),
    arms=arms,
    report=outcomes_into("epoch_demo.csv"),
)
