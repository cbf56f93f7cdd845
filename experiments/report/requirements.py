"""A schedule's requirements: a table, and a figure of error against them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autodrop_optax.plot import COLORS
from experiments.report.csv_file import read_csv
from experiments.report.tables import markdown_table
from experiments.schedules import SCHEDULES
from experiments.schedules.schedule import LEVELS

Errors = Mapping[str, Sequence[float]]  # in %, over the seeds, by the name of an arm

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


# What has more than so many times the error of the target stands at the edge, with its
# number.
EDGE = 1.2


def requirements_figure(
    tables: Mapping[str, Errors],
    schedules: Mapping[str, str],
    target: str,
) -> Figure:
    """Error against what had to be known: a row for each level, a column a workload.

    Within a level, the schedules stand by their mean error over the target's.

    Args:
      tables: the final errors on each workload, the target's among them.
      schedules: of each arm, the name in SCHEDULES.
      target: the arm that the others are set beside.

    Returns:
      The figure: mean and standard deviation over the seeds.
    """
    order = standing(tables.values(), target)
    levels = {x: SCHEDULES[name].requires.level for x, name in schedules.items()}
    by_level = {
        level: [name for name in order if levels[name] == level] for level in LEVELS
    }
    by_level = {level: names for level, names in by_level.items() if names}
    height = 0.22 * len(order) + 0.4 * len(by_level) + 1.0
    width = 3.6 + (3.6 if len(tables) < 4 else 2.2) * len(tables)
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(
        len(by_level),
        len(tables),
        squeeze=False,
        sharex="col",
        sharey="row",
        height_ratios=[len(names) + 0.5 for names in by_level.values()],
    )
    for column, (workload, found) in zip(panels.T, tables.items(), strict=True):
        low, edge = limits(found, target)
        for panel, names in zip(column, by_level.values(), strict=True):
            draw_level(panel, names, found, edge, mean(found[target]))
            if panel is not column[-1]:
                panel.tick_params(axis="x", length=0)
                panel.spines["bottom"].set_visible(False)
        column[-1].set_xlim(low, edge)
        column[0].set_title(f"{workload}\n", fontsize=10)
    for panel, level in zip(panels[:, 0], by_level, strict=True):
        panel.set_title(level, loc="left", fontsize=9, fontweight="bold")
    figure.suptitle("Error against what you had to know", fontsize=11)
    line = target.replace("_", " ").replace("multistep", "multi-step")
    figure.supxlabel(f"final test error in % (mean ± sd; line: {line})", fontsize=10)
    return figure


def standing(tables: Iterable[Errors], target: str) -> list[str]:
    """The schedules, the worst first, as the axis counts from below."""
    ratios: dict[str, list[float]] = {}
    for groups in tables:
        base = mean(groups[target])
        for name, errors in groups.items():
            ratios.setdefault(name, []).append(mean(errors) / base)
    return sorted(ratios, key=lambda name: -mean(ratios[name]))


def limits(groups: Errors, target: str) -> tuple[float, float]:
    """Where the axis begins and ends, in % of error; the rest stands at its edge."""
    most = EDGE * mean(groups[target])
    high = max(mean(g) + spread(g) for g in groups.values() if mean(g) <= most)
    low = min(mean(g) - spread(g) for g in groups.values())
    width = high - low or 1.0  # a single run has none
    return low - 0.06 * width, high + 0.1 * width


def draw_level(
    panel: Axes,
    names: Sequence[str],
    groups: Errors,
    edge: float,
    target: float,
) -> None:
    """The schedules that need the same: a dot and a bar each, and the target's line."""
    panel.axvline(target, color="0.7", linewidth=0.8, zorder=0)
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


def spread(errors: Sequence[float]) -> float:
    """The standard deviation; 0 of one."""
    return stdev(errors) if len(errors) > 1 else 0.0
