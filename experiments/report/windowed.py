"""The windowed method beside schedules that look at nothing."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, TypeVar

from matplotlib.figure import Figure

from autodrop_optax.plot import COLORS
from experiments.report.outcome import Outcome
from experiments.report.statistics import difference, mean_sd
from experiments.report.tables import markdown_table
from experiments.run.metrics import Row

WORKLOAD_TITLES = {"fashion_mnist_mlp": "Fashion-MNIST", "digits_mlp": "digits"}
TITLES = {
    "windowed_autodrop": "windowed AutoDrop, 1200 windows",
    "matched_exponential": "exponential, as many drops, evenly spaced",
    "exponential": "exponential, 0.95 every 13 windows",
    "windowed_autodrop_64": "windowed AutoDrop, windows of 64 steps",
    "linear_decay": "linear decay",
    "demo_autodrop": "`epoch_autodrop`, set for 60 epochs",
    "multistep": "multi-step",
}
SEEDS = 5  # of the rules: fewer are said so


class WindowedRun(NamedTuple):
    """A run; NaN where the schedule has no windows."""

    workload: str
    schedule: str
    seed: int
    window_steps: float
    final_error: float  # percent
    final_rate: float  # at the first step of the last epoch
    num_drops: float
    spacing: float  # windows per drop, from the first angle to the last drop
    share: float  # drops per window in which one could come


class Walk(NamedTuple):
    """What windowed AutoDrop does with parameters that no gradient moves."""

    inputs: str
    parameters: int
    smoothing: str
    two_sided: bool
    seed: int
    num_drops: float
    spacing: float  # as above
    share: float


R = TypeVar("R", bound=WindowedRun | Outcome)


def errors_table(runs: Sequence[WindowedRun | Outcome]) -> str:
    """Final test error of every schedule on every workload."""
    lines = []
    for schedule, name in TITLES.items():
        cells = []
        for workload in WORKLOAD_TITLES:
            errors = [run.final_error for run in select(runs, workload, schedule)]
            few = f" (n = {len(errors)})" if 0 < len(errors) < SEEDS else ""
            cells.append(mean_sd(errors) + few)
        lines.append([name, *cells])
    return markdown_table(["final test error in %", *WORKLOAD_TITLES.values()], lines)


def differences_table(runs: Sequence[WindowedRun]) -> str:
    """The windowed method minus each control, seed by seed; bold where told apart."""
    lines = []
    for control in ("matched_exponential", "exponential", "linear_decay"):
        cells = []
        for workload in WORKLOAD_TITLES:
            ours, theirs = (
                {run.seed: run.final_error for run in select(runs, workload, schedule)}
                for schedule in ("windowed_autodrop", control)
            )
            shared = [seed for seed in ours if seed in theirs]
            cells.append(difference([ours[seed] - theirs[seed] for seed in shared]))
        lines.append([TITLES[control], *cells])
    return markdown_table(["windowed AutoDrop minus", *WORKLOAD_TITLES.values()], lines)


def spacing_table(runs: Sequence[WindowedRun]) -> str:
    """How the windowed method dropped."""
    lines = []
    for workload, name in WORKLOAD_TITLES.items():
        for schedule in ("windowed_autodrop", "windowed_autodrop_64"):
            found = select(runs, workload, schedule)
            if found:
                drops, spacing, share, rate = course(found)
                steps = f"{found[0].window_steps:g}"
                lines.append([name, steps, drops, spacing, share, rate])
    header = ["workload", "window_steps", "drops", "windows per drop", "share"]
    return markdown_table([*header, "final rate"], lines)


def course(runs: Sequence[WindowedRun]) -> list[str]:
    """Drops, spacing, share and final rate over the seeds."""
    return [
        mean_sd((run.num_drops for run in runs), ".1f"),
        mean_sd(run.spacing for run in runs),
        mean_sd(run.share for run in runs),
        mean_sd((run.final_rate for run in runs), ".2g"),
    ]


def walks_table(walks: Iterable[Walk]) -> str:
    """The same without any signal: windows per drop and the share, means."""
    cases: dict[tuple[str, int], dict[str, list[Walk]]] = {}
    for walk in sorted(walks, key=lambda walk: walk[:4]):
        columns = cases.setdefault((walk.inputs, walk.parameters), {})
        sided = "two-sided" if walk.two_sided else "one-sided"
        columns.setdefault(f"in {walk.smoothing}, {sided}", []).append(walk)
    titles = list(next(iter(cases.values())))
    lines = [
        (inputs, str(parameters), *(_spacing(columns[title]) for title in titles))
        for (inputs, parameters), columns in cases.items()
    ]
    return markdown_table(["parameters are a", "their number", *titles], lines)


def _spacing(walks: Sequence[Walk]) -> str:
    spacing = statistics.mean(walk.spacing for walk in walks)
    return f"{spacing:.1f} ({statistics.mean(walk.share for walk in walks):.2f})"


def window_steps_table(runs: Iterable[WindowedRun]) -> str:
    """What the length of the windows does on the digits."""
    with_windows = sorted(
        (r for r in runs if r.workload == "digits_mlp" and r.window_steps > 0),
        key=lambda run: run.window_steps,
    )
    lines = []
    for steps, group in groupby(with_windows, key=lambda run: run.window_steps):
        found = list(group)
        drops, spacing, _, rate = course(found)
        error = mean_sd(run.final_error for run in found)
        lines.append([f"{steps:g}", drops, spacing, rate, error])
    header = ["window_steps", "drops", "windows per drop", "final rate"]
    return markdown_table([*header, "final test error in %"], lines)


def select(runs: Iterable[R], workload: str, schedule: str) -> list[R]:
    """The runs of one schedule on one workload, by seed."""
    found = [r for r in runs if (r.workload, r.schedule) == (workload, schedule)]
    return sorted(found, key=lambda run: run.seed)


_CONTROLS = {  # schedule: label, colour, dashes
    "matched_exponential": ("as many drops, evenly spaced", COLORS[1], (0, (4, 2))),
    "linear_decay": ("linear decay", "#808080", (0, (1, 1))),
}


def rates_figure(runs: Mapping[tuple[str, str, int], Sequence[Row]]) -> Figure:
    """Draws the rate over the epochs, one panel per workload.

    Args:
      runs: the rows of each run, by workload, schedule and seed: windowed AutoDrop of
        all seeds is drawn, the controls of the first.
    """
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    workloads = list(dict.fromkeys(workload for workload, *_ in runs))
    panels = figure.subplots(1, len(workloads), sharey=True, squeeze=False)[0]
    for panel, workload in zip(panels, workloads, strict=True):
        drawn = set()
        for (name, schedule, _), rows in runs.items():
            style = {"windowed_autodrop": ("windowed AutoDrop", COLORS[0], "-")}
            style |= _CONTROLS
            if name != workload or schedule not in style:
                continue
            label, color, dashes = style[schedule]
            again = schedule in drawn
            if again and schedule in _CONTROLS:
                continue
            drawn.add(schedule)
            # Epochs, from 0, and the rate that each starts with.
            rates = [row["learning_rate"] for row in rows]
            width = 1.5 if schedule in _CONTROLS else 1
            label = None if again else label
            panel.plot(rates, color=color, lw=width, ls=dashes, label=label)
        panel.set_title(
            WORKLOAD_TITLES.get(workload, workload), fontsize=10, loc="left"
        )
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
