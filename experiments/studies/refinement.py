"""Does a first run's record refine linear decay, with AutoDrop or without?"""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from matplotlib.figure import Figure

from autodrop_optax.plot import COLORS
from experiments.report import figures
from experiments.run.gradient_norms import read_gradient_norms
from experiments.studies.plan import Arm, FinishedRun, PlannedRun, arm
from experiments.studies.study import Runs, Study
from experiments.studies.tables import write_tables
from experiments.task.optimizers import norm_of
from experiments.task.workloads import WORKLOADS

NAME = "{workload}_refinement"  # of the tables and figures


def refined_arm(preset: str) -> Arm:
    """The schedule refined by the norms of a run of a preset."""
    first = arm(preset, f"{preset}_recorded", record_gradient_norms=True)
    return arm("refined", f"refined_{preset}")._replace(first=first)


def arms(workload: str) -> list[Arm]:
    """Refinement from either side, and AutoDrop on top of linear decay."""
    del workload
    return [
        arm("multistep"),
        arm("linear_decay"),
        arm("scaled_epoch_autodrop"),
        refined_arm("linear_decay"),
        refined_arm("scaled_epoch_autodrop"),
        arm("epoch_autodrop_linear_decay"),
    ]


def report(runs: Runs, results: Path) -> None:
    """The tables, and what was recorded and what was made of it."""
    write_tables(runs, results, NAME)
    for workload in runs.workloads:
        finished = runs.of(workload)
        if any(run.planned.first for run in finished):
            path = results / f"{NAME.format(workload=workload)}.png"
            figures.save(draw(finished, workload), path)


def draw(finished: Sequence[FinishedRun], workload: str) -> Figure:
    """Gradient norms of first runs, and the rates of the runs that they refined.

    Args:
      finished: runs on one workload, among them refined ones.
      workload: theirs.

    Returns:
      The figure: on the left a first run of each arm, that of its lowest seed; on the
      right all second runs.
    """
    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    labels = dict.fromkeys(run.label for run in finished if run.planned.first)
    for color, name in zip(COLORS, labels, strict=False):
        runs = [run for run in finished if run.label == name]
        lowest = min(runs, key=lambda run: run.config.seed)
        first = cast(PlannedRun, lowest.planned.first)
        norms = read_gradient_norms(first.folder)
        time = np.linspace(0, first.config.epochs, len(norms))
        left.plot(time, norms, color=color, linewidth=0.3, alpha=0.7)
        name = f"first run: {first.label.removesuffix('_recorded')}"
        for number, run in enumerate(runs):
            rates = [row["learning_rate"] for row in run.rows]
            label = None if number else name
            right.plot(rates, color=color, linewidth=1, alpha=0.7, label=label)
    some = finished[0].config  # all have this rate and length
    right.plot(
        [0, some.epochs],
        [some.learning_rate, 0],
        "--",
        color="0.5",
        label="linear decay itself",
    )
    norm = norm_of(WORKLOADS[workload].optimizer)
    left.set(xlabel="epoch", ylabel=f"{norm} norm of the gradient")
    left.set_title("First run, one of each", fontsize=10)
    right.set(xlabel="epoch", ylabel="learning rate")
    right.set_title("Second runs", fontsize=10)
    for panel in (left, right):
        panel.set_ylim(0, None)
        panel.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.suptitle(f"Refinement on {workload}", fontsize=11)
    return figure


STUDY = Study(
    what="Does a first run's record refine linear decay, with AutoDrop or without?",
    workloads=("fashion_mnist_mlp", "pydoc_transformer"),
    seeds=(0, 1, 2, 3, 4),
    arms=arms,
    report=report,
)
