"""AutoDrop and its rivals on real images and text, in the time that two cores have."""

import functools
from collections.abc import Sequence
from pathlib import Path

from experiments.report.rows import (
    TARGET,
    evidence_rows,
    read_rows,
    summary_table,
    would_lose,
    write_rows,
)
from experiments.run.environment import write_provenance
from experiments.studies.study import Arm, Runs, Study, arm
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


def schedule_arms(workload: str) -> list[Arm]:
    """Every schedule on the first workload, the main ones on the others."""
    if workload == FIRST:
        return [arm(name) for name in ALL]
    adamw = WORKLOADS[workload].optimizer == "adamw"
    free = "schedule_free_adamw" if adamw else "schedule_free_sgd"
    return [arm(name) for name in (*MAIN, free)]


# The table of the study that has the error to reach among its own runs.
OWN_TARGET = "{workload}"


def write_evidence(runs: Runs, results: Path, name: str = OWN_TARGET) -> None:
    """Writes and prints a table for each workload, with multi-step's error as target.

    A table that holds other runs as well is left alone.

    Args:
      runs: the finished ones.
      results: folder for the tables.
      name: of a table, without its suffix.
    """
    for workload in runs.workloads:
        path = results / f"{name.format(workload=workload)}.csv"
        target = target_of(workload, results) if name != OWN_TARGET else None
        rows = evidence_rows(runs.of(workload), target)
        if not rows:
            print(f"{workload}: no run of {TARGET} is finished, so no error to reach.")
            continue
        there = read_rows(path) if path.exists() else []
        if would_lose(path, (r[:3] for r in there), (r[:3] for r in rows)):
            continue
        write_rows(path, rows)
        write_provenance(path)
        print(f"{workload}\n{summary_table(rows)}\ntable: {path}\n")


def target_of(workload: str, results: Path) -> float | None:
    """Returns the mean final error of multi-step in the study of schedules."""
    path = results / f"{workload}.csv"
    rows = read_rows(path) if path.exists() else []
    finals = [row.final_error for row in rows if row.schedule == TARGET]
    return sum(finals) / len(finals) if finals else None


def ablation_arms(workload: str) -> list[Arm]:
    """AutoDrop's parts one by one; what BatchNorm's statistics add is batch_stats'."""
    del workload
    delays = (1, 2, 10)
    return [
        arm("scaled_epoch_autodrop"),
        arm("scaled_epoch_autodrop_no_averaging"),
        *(
            arm(
                "scaled_epoch_autodrop",
                f"scaled_epoch_autodrop_delay{delay}",
                schedule__drop_delay=delay,
            )
            for delay in delays
        ),
    ]


def optimizer_arms(workload: str) -> list[Arm]:
    """Multi-step and AutoDrop on top of each optimizer."""
    del workload
    settings: Sequence[tuple[str, dict]] = (
        ("sgd", {}),
        ("nesterov", {}),
        ("adamw", {"learning_rate": 1e-3, "weight_decay": 1e-2}),
    )
    return [
        arm(preset, f"{preset}_{name}", optimizer=name, **changes)
        for name, changes in settings
        for preset in ("multistep", "scaled_epoch_autodrop")
    ]


EVIDENCE = {
    "schedules": Study(
        what="How do all schedules compare, at one rate tuned for multi-step?",
        workloads=(FIRST, "digits_mlp", *LONGER),
        seeds=(0, 1, 2, 3, 4),
        other_seeds=dict.fromkeys(LONGER, (0, 1, 2)),
        arms=schedule_arms,
        report=write_evidence,
    ),
    "ablation": Study(
        what="What are AutoDrop's averaging and delay worth?",
        workloads=(FIRST,),
        seeds=(0, 1, 2),
        arms=ablation_arms,
        report=functools.partial(write_evidence, name="{workload}_ablation"),
    ),
    "optimizers": Study(
        what="Does AutoDrop work on top of SGD, Nesterov's momentum and AdamW?",
        workloads=("digits_mlp",),
        seeds=(0, 1, 2, 3, 4),
        arms=optimizer_arms,
        report=functools.partial(write_evidence, name="{workload}_optimizers"),
    ),
}
