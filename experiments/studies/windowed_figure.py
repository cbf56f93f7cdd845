"""The rates of windowed AutoDrop beside those of schedules that look at nothing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from autodrop_optax.plot import COLORS
from experiments.run.record import Row, read_metrics
from experiments.studies.windowed_tables import WORKLOADS

_CONTROLS = {  # schedule: label, colour, dashes
    "matched_exponential": ("as many drops, evenly spaced", COLORS[1], (0, (4, 2))),
    "linear_decay": ("linear decay", "#808080", (0, (1, 1))),
}


def draw(runs: Path, workloads: Sequence[str], seeds: Sequence[int]) -> Figure:
    """Draws the rate over the epochs, one panel per workload.

    Args:
      runs: the folder of the runs.
      workloads: the panels.
      seeds: windowed AutoDrop of all of these, the controls of the first.
    """
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(workloads), sharey=True, squeeze=False)[0]
    for panel, workload in zip(panels, workloads, strict=True):
        for seed in seeds:
            rows = read_metrics(runs / f"{workload}-windowed_autodrop-seed{seed}")
            (line,) = panel.plot(*_course(rows), color=COLORS[0], lw=1)
            line.set_label("windowed AutoDrop" * (seed == seeds[0]))
        for schedule, (label, color, dashes) in _CONTROLS.items():
            rows = read_metrics(runs / f"{workload}-{schedule}-seed{seeds[0]}")
            panel.plot(*_course(rows), color=color, lw=1.5, ls=dashes, label=label)
        panel.set_title(WORKLOADS[workload], fontsize=10, loc="left")
        panel.set_xlabel("epoch")
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.margins(x=0.01)
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="#e5e5e5", linewidth=0.8)
        panel.set_axisbelow(True)
    panels[0].set_ylabel("learning rate")
    panels[0].legend(loc="lower left", frameon=False, fontsize=9)
    return figure


def _course(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Epochs, from 0, and the rate that each starts with."""
    rates = np.array([row["learning_rate"] for row in rows])
    return np.arange(len(rates)), rates
