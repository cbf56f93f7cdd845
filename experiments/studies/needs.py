"""The figure of error against what you had to know."""

import statistics
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from autodrop_optax.plot import COLORS
from experiments import figures
from experiments.rivals.rules import LEVELS, RULES
from experiments.studies.rows import TARGET, EvidenceRow, by_schedule, read_rows
from experiments.studies.study import Runs
from experiments.workloads import WORKLOADS

# What has more than so many times the error of multi-step stands at the edge, with its
# number.
EDGE = 1.25


def write_needs(runs: Runs, results: Path, name: str = "{workload}") -> None:
    """Draws a figure beside the table of each workload that has one.

    Args:
      runs: the finished ones.
      results: folder of the tables.
      name: of a table, without its suffix; the figure adds "_needs".
    """
    for workload in runs.workloads:
        table = results / f"{name.format(workload=workload)}.csv"
        if not table.exists():
            continue
        schedules = {d.job.preset: d.job.config.schedule for d in runs.of(workload)}
        rows = read_rows(table)
        if not set(by_schedule(rows)) <= set(schedules):
            continue  # a table that other runs have made
        path = table.with_name(f"{table.stem}_needs.png")
        figures.save(draw(rows, schedules, workload), path)
        print(f"figure: {path}")


def draw(rows: list[EvidenceRow], schedules: dict[str, str], workload: str) -> Figure:
    """Error against what had to be known, a panel for each level.

    Args:
      rows: of the runs, multi-step's among them.
      schedules: of each arm, the name in RULES.
      workload: for the title.

    Returns:
      The figure: mean and standard deviation over the seeds.
    """
    groups = by_schedule(rows)
    means = {n: statistics.mean(r.final_error for r in g) for n, g in groups.items()}
    by_level = {
        level: sorted(
            (name for name in groups if RULES[schedules[name]].level == level),
            key=means.__getitem__,
            reverse=True,  # the axis counts from below
        )
        for level in LEVELS
    }
    by_level = {level: names for level, names in by_level.items() if names}
    most = EDGE * means[TARGET]
    ends = [mean + spread(groups[n]) for n, mean in means.items() if mean <= most]
    low = min(means[n] - spread(g) for n, g in groups.items())
    width = max(ends) - low or 1.0  # a single run has none
    edge = max(ends) + 0.1 * width
    height = 0.22 * len(groups) + 0.4 * len(by_level) + 1.0
    figure = Figure(figsize=(7.2, height), layout="constrained")
    FigureCanvasAgg(figure)
    heights = [len(names) + 0.5 for names in by_level.values()]
    panels = figure.subplots(len(by_level), sharex=True, height_ratios=heights)
    for panel, (level, names) in zip(panels, by_level.items(), strict=True):
        draw_level(panel, names, groups, edge)
        panel.axvline(means[TARGET], color="0.7", linewidth=0.8, zorder=0)
        panel.set_title(level, loc="left", fontsize=9, fontweight="bold")
        if panel is not panels[-1]:
            panel.tick_params(axis="x", length=0)
            panel.spines["bottom"].set_visible(False)
    panels[-1].set_xlim(low - 0.06 * width, edge)
    panels[-1].set_xlabel("final test error in % (mean ± sd; line: multi-step)")
    entry = WORKLOADS[workload]
    figure.suptitle(
        f"Error against what you had to know: {entry.data}, {entry.network}",
        fontsize=11,
    )
    return figure


def draw_level(
    panel: Axes, names: list[str], groups: dict[str, list[EvidenceRow]], edge: float
) -> None:
    """The schedules that need the same: a dot and a bar each."""
    for height, name in enumerate(names):
        errors = [row.final_error for row in groups[name]]
        mean = statistics.mean(errors)
        color = COLORS[0] if "autodrop" in name else "0.35"
        if mean > edge:
            panel.annotate(
                f"{mean:.1f} →",
                (edge, height),
                ha="right",
                va="center",
                fontsize=8,
                color=color,
                annotation_clip=False,
            )
            continue
        bar = spread(groups[name])
        panel.errorbar(mean, height, xerr=bar, fmt="o", markersize=4, color=color)
    panel.set_yticks(range(len(names)), names, fontsize=8)
    panel.set_ylim(-0.75, len(names) - 0.25)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(axis="y", length=0)


def spread(rows: list[EvidenceRow]) -> float:
    """The standard deviation of the final errors; 0 of one."""
    return statistics.stdev(r.final_error for r in rows) if len(rows) > 1 else 0.0
