"""A schedule's requirements: a table, and a figure of error against them."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from autodrop_optax.plot import COLORS
from experiments.report.comparison import TARGET, ComparedRun, by_schedule
from experiments.report.csv_file import read_csv
from experiments.report.tables import markdown_table
from experiments.schedules import SCHEDULES
from experiments.schedules.schedule import LEVELS

# In the table of times: what the others are set beside, and itself once more.
BASE, AGAIN = "constant", "constant again"


class StepTime(NamedTuple):
    """What a step of training takes under a schedule."""

    schedule: str
    milliseconds: float
    ratio: float  # to constant's


def requirements_table(times: Mapping[str, Path]) -> str:
    """What each schedule must be told, its memory, and its step's time.

    Args:
      times: the table of times of each workload.
    """
    columns = [_times(path) for path in times.values()]
    header = ["schedule", "source", "must be told", "copies", "beyond"]
    header += [f"time, `{workload}`" for workload in times]
    lines = [
        (
            f"`{name}`",
            kind.source,
            str(kind.requires),
            f"{kind.copies}",
            f"{kind.copies - kind.base_copies}",
            *(column.get(name, "") for column in columns),
        )
        for name, kind in SCHEDULES.items()
    ]
    return markdown_table(header, lines)


def _times(path: Path) -> dict[str, str]:
    found = {run.schedule: f"{run.ratio:.2f}" for run in read_csv(path, StepTime)}
    found[BASE] += f", again {found[AGAIN]}"
    return found


# What has more than so many times the error of multi-step stands at the edge, with its
# number.
EDGE = 1.2


def requirements_figure(
    tables: Mapping[str, Sequence[ComparedRun]], schedules: Mapping[str, str]
) -> Figure:
    """Error against what had to be known: a row for each level, a column a workload.

    Within a level, the schedules stand by their mean error over that of multi-step.

    Args:
      tables: the runs of each workload, multi-step's among them.
      schedules: of each arm, the name in SCHEDULES.

    Returns:
      The figure: mean and standard deviation over the seeds.
    """
    groups = {workload: by_schedule(rows) for workload, rows in tables.items()}
    order = standing(groups.values())
    levels = {x: SCHEDULES[name].requires.level for x, name in schedules.items()}
    by_level = {
        level: [name for name in order if levels[name] == level] for level in LEVELS
    }
    by_level = {level: names for level, names in by_level.items() if names}
    height = 0.22 * len(order) + 0.4 * len(by_level) + 1.0
    figure = Figure(figsize=(3.6 + 3.6 * len(tables), height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(
        len(by_level),
        len(tables),
        squeeze=False,
        sharex="col",
        sharey="row",
        height_ratios=[len(names) + 0.5 for names in by_level.values()],
    )
    for column, (workload, found) in zip(panels.T, groups.items(), strict=True):
        low, edge = limits(found)
        for panel, names in zip(column, by_level.values(), strict=True):
            draw_level(panel, names, found, edge)
            if panel is not column[-1]:
                panel.tick_params(axis="x", length=0)
                panel.spines["bottom"].set_visible(False)
        column[-1].set_xlim(low, edge)
        column[0].set_title(f"{workload}\n", fontsize=10)
    for panel, level in zip(panels[:, 0], by_level, strict=True):
        panel.set_title(level, loc="left", fontsize=9, fontweight="bold")
    figure.suptitle("Error against what you had to know", fontsize=11)
    figure.supxlabel("final test error in % (mean ± sd; line: multi-step)", fontsize=10)
    return figure


def standing(tables: Iterable[Mapping[str, Sequence[ComparedRun]]]) -> list[str]:
    """The schedules, the worst first, as the axis counts from below."""
    ratios: dict[str, list[float]] = {}
    for groups in tables:
        target = mean(groups[TARGET])
        for name, rows in groups.items():
            ratios.setdefault(name, []).append(mean(rows) / target)
    return sorted(ratios, key=lambda name: -statistics.mean(ratios[name]))


def limits(groups: Mapping[str, Sequence[ComparedRun]]) -> tuple[float, float]:
    """Where the axis begins and ends, in % of error; the rest stands at its edge."""
    most = EDGE * mean(groups[TARGET])
    high = max(mean(g) + spread(g) for g in groups.values() if mean(g) <= most)
    low = min(mean(g) - spread(g) for g in groups.values())
    width = high - low or 1.0  # a single run has none
    return low - 0.06 * width, high + 0.1 * width


def draw_level(
    panel: Axes,
    names: Sequence[str],
    groups: Mapping[str, Sequence[ComparedRun]],
    edge: float,
) -> None:
    """The schedules that need the same: a dot and a bar each."""
    panel.axvline(mean(groups[TARGET]), color="0.7", linewidth=0.8, zorder=0)
    for height, name in enumerate(names):
        if name not in groups:  # on another workload only
            continue
        value, bar = mean(groups[name]), spread(groups[name])
        color = COLORS[0] if "autodrop" in name else "0.35"
        if value <= edge:
            panel.errorbar(value, height, xerr=bar, fmt="o", markersize=4, color=color)
            continue
        panel.annotate(
            f"{value:.1f} →",
            (edge, height),
            ha="right",
            va="center",
            fontsize=8,
            color=color,
            annotation_clip=False,
        )
    panel.set_yticks(range(len(names)), names, fontsize=8)
    panel.set_ylim(-0.75, len(names) - 0.25)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(axis="y", length=0)


def mean(rows: Sequence[ComparedRun]) -> float:
    """The mean of the final errors."""
    return statistics.mean(row.final_error for row in rows)


def spread(rows: Sequence[ComparedRun]) -> float:
    """The standard deviation of the final errors; 0 of one."""
    return statistics.stdev(r.final_error for r in rows) if len(rows) > 1 else 0.0
