"""What are AutoDrop's averaging and delay worth?"""

from experiments.studies.plan import Arm, arm
from experiments.studies.study import Study
from experiments.studies.tables import tables


def arms(workload: str) -> list[Arm]:
    """AutoDrop's parts one by one; what BatchNorm's statistics add is batch_norm's."""
    del workload
    preset = "scaled_epoch_autodrop"
    delays = (
        arm(preset, f"{preset}_delay{delay}", schedule__drop_delay=delay)
        for delay in (1, 2, 10)
    )
    return [arm(preset), arm(f"{preset}_no_averaging"), *delays]


STUDY = Study(
    what="What are AutoDrop's averaging and delay worth?",
    workloads=("fashion_mnist_mlp",),
    seeds=(0, 1, 2),
    arms=arms,
    report=tables("{workload}_ablation"),
)
