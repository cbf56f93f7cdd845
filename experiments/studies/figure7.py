"""Figure 7: after how many epochs is the error at its lowest?"""

import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from autodrop_optax.plot import COLORS
from experiments.report.outcome import best_error
from experiments.report.statistics import mean_sd
from experiments.run.metrics import Row
from experiments.studies.figure6 import arms
from experiments.studies.papers import SEEDS, TABLE_1, save
from experiments.studies.study import Runs, Study


def report(runs: Runs, results: Path) -> None:
    """The mean epoch of the lowest test error: bars."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    panel = figure.subplots()
    arms = list(dict.fromkeys(run.label for run in runs.finished))
    width = 0.8 / len(arms)
    for number, label in enumerate(arms):
        named = False
        for position, workload in enumerate(runs.workloads):
            epochs = [
                best_epoch(run.rows) for run in runs.of(workload) if run.label == label
            ]
            if not epochs:
                continue
            x = position + (number - (len(arms) - 1) / 2) * width
            mean = statistics.mean(epochs)
            bar = panel.bar(x, mean, 0.9 * width, color=COLORS[number])
            panel.bar_label(bar, fmt="%.0f", fontsize=9)
            if not named:
                bar.set_label(label)
                named = True
            found = mean_sd(epochs, ".1f")
            print(f"{workload}, {label}: epoch {found} of the lowest error")
    panel.set_xticks(range(len(runs.workloads)), runs.workloads)
    panel.set_ylabel("epochs to the lowest test error")
    panel.spines[["top", "right"]].set_visible(False)
    panel.margins(y=0.15)
    panel.legend(frameon=False, fontsize=9, ncols=len(arms), loc="upper left")
    save(figure, results / "figure7.png")


def best_epoch(rows: Sequence[Row]) -> int:
    """The first epoch of the lowest test error."""
    errors = [row["test_error"] for row in rows]
    return errors.index(best_error(rows)) + 1


STUDY = Study(
    what="Figure 7: after how many epochs is the error at its lowest?",
    workloads=tuple(name for name in TABLE_1 if name.startswith("cifar")),
    seeds=SEEDS,
    arms=arms,
    report=report,
)
