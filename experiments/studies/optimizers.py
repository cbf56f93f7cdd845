"""Does AutoDrop work on top of SGD, Nesterov's momentum and AdamW?"""

from experiments.studies.plan import Arm, arm
from experiments.studies.study import Study
from experiments.studies.tables import tables

SETTINGS: dict[str, dict[str, float]] = {
    "sgd": {},
    "nesterov": {},
    "adamw": {"learning_rate": 1e-3, "weight_decay": 1e-2},
}


def arms(workload: str) -> list[Arm]:
    """Multi-step and AutoDrop on top of each optimizer."""
    del workload
    return [
        arm(preset, f"{preset}_{name}", optimizer=name, **changes)
        for name, changes in SETTINGS.items()
        for preset in ("multistep", "scaled_epoch_autodrop")
    ]


STUDY = Study(
    what="Does AutoDrop work on top of SGD, Nesterov's momentum and AdamW?",
    workloads=("digits_mlp",),
    seeds=(0, 1, 2, 3, 4),
    arms=arms,
    report=tables("{workload}_optimizers"),
)
