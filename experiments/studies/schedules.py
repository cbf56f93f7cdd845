"""How do all schedules compare, at one rate tuned for multi-step?"""

from experiments.studies.plan import Arm, arm
from experiments.studies.study import Study
from experiments.studies.tables import write_tables
from experiments.task.workloads import WORKLOADS

# All of them on the first workload, where a run takes a minute.
ALL = (
    "constant",
    "multistep",
    "exponential",
    "linear_decay",
    "cosine",
    "cosine_restarts",
    "cyclical",
    "one_cycle",
    "warmup_stable_decay",
    "plateau",
    "multistep_held_out",
    "hypergradient",
    "schedule_free_sgd",
    "schedule_free_adamw",
    "paper_autodrop",
    "scaled_epoch_autodrop",
    "scaled_epoch_autodrop_no_averaging",
    "scaled_epoch_autodrop_authors",
    "scaled_epoch_autodrop_at_once",
    "windowed_autodrop",
)
MAIN = (
    "constant",
    "multistep",
    "linear_decay",
    "cosine",
    "paper_autodrop",
    "scaled_epoch_autodrop",
    "windowed_autodrop",
)
FIRST = "fashion_mnist_mlp"
LONGER = ("fashion_mnist_resnet", "pydoc_transformer")  # to train


def arms(workload: str) -> list[Arm]:
    """Every schedule on the first workload, the main ones on the others."""
    if workload == FIRST:
        return [arm(name) for name in ALL]
    adamw = WORKLOADS[workload].optimizer == "adamw"
    free = "schedule_free_adamw" if adamw else "schedule_free_sgd"
    return [arm(name) for name in (*MAIN, free)]


STUDY = Study(
    what="How do all schedules compare, at one rate tuned for multi-step?",
    workloads=(FIRST, "digits_mlp", *LONGER),
    seeds=(0, 1, 2, 3, 4),
    other_seeds=dict.fromkeys(LONGER, (0, 1, 2)),
    arms=arms,
    report=write_tables,
)
