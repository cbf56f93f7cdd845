"""Figure 6: rate, loss and error of AutoDrop and multi-step."""

from pathlib import Path

from experiments.report import figures
from experiments.studies.papers import autodrop_presets, first_seed, save, title
from experiments.studies.plan import Arm, arm
from experiments.studies.study import Runs, Study


def arms(workload: str) -> list[Arm]:
    """Multi-step and AutoDrop."""
    return [arm(name) for name in ("multistep", *autodrop_presets(workload))]


def report(runs: Runs, results: Path) -> None:
    """Rate, angle, loss and error of the first seed."""
    for workload in runs.workloads:
        figure = figures.compare(
            {run.label: run.rows for run in first_seed(runs, workload)},
            title=title(workload),
        )
        save(figure, results / f"{workload}_figure6.png")


STUDY = Study(
    what="Figure 6: rate, loss and error of AutoDrop and multi-step.",
    workloads=("cifar10_wrn28x10",),
    seeds=(0,),
    arms=arms,
    report=report,
)
