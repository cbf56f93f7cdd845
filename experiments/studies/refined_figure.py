"""The figure of refinement: what a first run recorded, and what was made of it."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from autodrop_optax.plot import COLORS
from experiments.run.gradient_norms import read_gradient_norms
from experiments.run.jobs import FinishedJob, Job
from experiments.task.optimizers import norm_of
from experiments.task.workloads import WORKLOADS


def draw_refined(finished: Sequence[FinishedJob], workload: str) -> Figure:
    """Gradient norms of first runs, and the rates of the runs that they refined.

    Args:
      finished: runs on one workload, among them refined ones.
      workload: theirs.

    Returns:
      The figure: on the left a first run of each arm, that of its lowest seed; on the
      right all second runs.
    """
    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    arms = dict.fromkeys(done.job.preset for done in finished if done.job.first)
    for color, arm in zip(COLORS, arms, strict=False):
        runs = [done for done in finished if done.job.preset == arm]
        first = cast(Job, min(runs, key=lambda run: run.job.config.seed).job.first)
        norms = read_gradient_norms(first.folder)
        time = np.linspace(0, first.config.epochs, len(norms))
        left.plot(time, norms, color=color, linewidth=0.3, alpha=0.7)
        name = f"first run: {first.preset.removesuffix('_recorded')}"
        for number, run in enumerate(runs):
            rates = [row["learning_rate"] for row in run.rows]
            label = None if number else name
            right.plot(rates, color=color, linewidth=1, alpha=0.7, label=label)
    some = finished[0].job.config  # all have this rate and length
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
