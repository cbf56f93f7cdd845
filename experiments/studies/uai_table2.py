"""Table 2 of 2024: windowed AutoDrop beside other schedules."""

from pathlib import Path

from experiments.report.outcome import best_error
from experiments.report.statistics import mean_sd
from experiments.report.tables import markdown_table
from experiments.studies.papers import SEEDS, UAI_OTHERS, UAI_TABLE_2, errors_of
from experiments.studies.plan import Arm, arm
from experiments.studies.study import Runs, Study
from experiments.studies.tables import write_tables


def arms(workload: str) -> list[Arm]:
    """Multi-step and windowed AutoDrop; others where the paper has them."""
    if workload.startswith("imagenet"):
        windowed = arm(
            "windowed_autodrop_64",
            "windowed_autodrop_640",
            schedule__window_steps=640,
        )
    elif workload in UAI_TABLE_2:
        windowed = arm("windowed_autodrop_64")
    else:
        windowed = arm("windowed_autodrop")
    arms = [arm("multistep"), windowed]
    if workload == "cifar10_resnet18" or workload not in UAI_TABLE_2:
        arms += [arm(name) for name in UAI_OTHERS]
    return arms


def report(runs: Runs, results: Path) -> None:
    """The minimum over the epochs, as the paper reports it."""
    lines = []
    for workload in runs.workloads:
        there = dict(UAI_OTHERS) if workload == "cifar10_resnet18" else {}
        if workload in UAI_TABLE_2:
            there["multistep"], there["windowed_autodrop"] = UAI_TABLE_2[workload]
        for label, errors in errors_of(runs, workload, best_error).items():
            name = label.removesuffix("_640").removesuffix("_64")
            lines.append((workload, f"`{name}`", mean_sd(errors), there.get(name, "")))
    # Not all of the paper's settings are known; the schedules' own are in PRESETS.
    paper = "paper, with its settings"
    header = ("workload", "schedule", "minimum over epochs in %", paper)
    print(markdown_table(header, lines))
    write_tables(runs, results, "{workload}_uai")


STUDY = Study(
    what="Table 2 of 2024: windowed AutoDrop beside other schedules.",
    workloads=tuple(UAI_TABLE_2),
    seeds=SEEDS,
    arms=arms,
    report=report,
)
