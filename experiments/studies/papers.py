"""The two papers: what they report, and what the studies after them share.

Test errors in %, mean and standard deviation.

AutoDrop as first published: Teng, Wang, Choromanska, "AutoDrop: Training Deep Learning
Models with Automatic Learning Rate Drop", submission to ICLR 2022; four seeds, the
error after the last epoch (ImageNet: one run). As of 2024: the same, UAI 2024, four
seeds, the minimum over epochs.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from experiments.report import figures
from experiments.run.environment import write_provenance
from experiments.run.metrics import Row
from experiments.studies.plan import FinishedRun
from experiments.studies.study import Runs
from experiments.task.workloads import WORKLOADS

# Table 1: workload -> arm -> error; the number is the drop factor.
TABLE_1 = {
    "cifar10_resnet18": {
        "multistep": "4.87 ± 0.085",
        "autodrop_0.1": "5.07 ± 0.465",
        "autodrop_0.2": "4.61 ± 0.173",
        "autodrop_0.5": "4.71 ± 0.111",
    },
    "cifar10_wrn28x10": {
        "multistep": "3.77 ± 0.05",
        "autodrop_0.1": "3.73 ± 0.26",
        "autodrop_0.2": "3.73 ± 0.10",
        "autodrop_0.5": "4.29 ± 1.13",
    },
    "cifar100_resnet34": {
        "multistep": "21.91 ± 0.20",
        "autodrop_0.1": "23.27 ± 0.48",
        "autodrop_0.2": "21.82 ± 0.50",
        "autodrop_0.5": "21.43 ± 0.29",
    },
    "cifar100_wrn40x10": {
        "multistep": "19.16 ± 0.11",
        "autodrop_0.1": "18.25 ± 0.33",
        "autodrop_0.2": "18.17 ± 0.25",
        "autodrop_0.5": "23.15 ± 3.43",
    },
    "imagenet_resnet18": {"multistep": "29.93", "autodrop_0.1": "29.80"},
}

# Table 2: ResNet-18 on CIFAR-10; initial rate -> multi-step, AutoDrop.
TABLE_2 = {
    0.15: ("5.04 ± 0.19", "4.90 ± 0.20"),
    0.1: ("4.80 ± 0.12", "4.62 ± 0.14"),
    0.05: ("4.87 ± 0.09", "4.61 ± 0.17"),
    0.03: ("5.07 ± 0.28", "4.73 ± 0.25"),
}

# Table 2 of 2024, the second method: workload -> step schedule, AutoDrop.
UAI_TABLE_2 = {
    "cifar10_resnet18": ("4.79", "4.79"),
    "cifar10_wrn28x10": ("3.77", "3.73"),
    "cifar100_resnet34": ("21.92", "21.82"),
    "cifar100_wrn40x10": ("18.96", "19.41"),
    "imagenet_resnet18": ("29.74", "29.25"),
    "imagenet_resnet50": ("23.76", "23.92"),
}

# The same paper, other schedules on ResNet-18 and CIFAR-10.
UAI_OTHERS = {
    "hypergradient": "6.78",
    "cyclical": "5.14",
    "one_cycle": "4.86",
    "exponential": "5.82",
}

SEEDS = (0, 1, 2, 3)


def autodrop_presets(workload: str) -> list[str]:
    """The paper's settings; the scaled ones too where a run is shorter than there."""
    presets = ["paper_autodrop"]
    if workload not in UAI_TABLE_2:
        presets.append("scaled_epoch_autodrop")
    return presets


def sensitivity_preset(workload: str) -> str:
    """The paper's settings, or the scaled ones where a run is shorter than there."""
    return autodrop_presets(workload)[-1]


def errors_of(
    runs: Runs, workload: str, error: Callable[[Sequence[Row]], float]
) -> dict[str, list[float]]:
    """An error of the runs of each arm, in the order of the plan."""
    values: dict[str, list[float]] = {}
    for run in runs.of(workload):
        values.setdefault(run.label, []).append(error(run.rows))
    return values


def final_error(rows: Sequence[Row]) -> float:
    """The error after the last epoch, in percent."""
    return rows[-1]["test_error"]


def first_seed(runs: Runs, workload: str) -> list[FinishedRun]:
    """The runs of the lowest seed that is there."""
    seed = min(run.config.seed for run in runs.of(workload))
    return [run for run in runs.of(workload) if run.config.seed == seed]


def title(workload: str) -> str:
    """What is trained, in two lines: some names are long."""
    return f"{WORKLOADS[workload].data}\n{WORKLOADS[workload].network}"


def save(figure: Figure, path: Path) -> None:
    """Saves a figure, and beside it what made it."""
    figures.save(figure, path)
    write_provenance(path)
