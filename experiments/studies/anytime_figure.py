"""The figures of errors at any stop, and of what a wrong rate costs."""

import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from autodrop_optax.plot import COLORS

Row = Any  # of the study's table
Curve = dict[float, list[float]]  # errors over the seeds, by rate or by stop

STYLES = {  # label, colour, line
    "autodrop": ("AutoDrop, told nothing", COLORS[0], "-"),
    "linear_decay": ("linear decay, told the end", COLORS[1], "-"),
    "inverse_sqrt_average": ("1/sqrt, with the average", COLORS[2], "--"),
    "constant_average": ("the average, no drops", COLORS[3], ":"),
}


def draw_times(rows: Sequence[Row]) -> Figure:
    """Error against the time of the stop, a panel for each workload.

    AutoDrop's line is of one rate, its best at the full length. Linear decay's is the
    envelope: at each stop its best rate there, of runs that were told that stop. Thin
    are the other rates.
    """
    figure, panels = _panels(rows)
    for panel, workload in panels.items():
        here = [row for row in rows if row.workload == workload]
        for name, (label, color, _) in list(STYLES.items())[:2]:
            curves = _by(here, name, "learning_rate", "horizon")
            if not curves:
                continue
            for curve in curves.values():
                panel.plot(*_means(curve), color=color, lw=0.7, alpha=0.4)
            if name == "autodrop":
                best = min(curves.values(), key=lambda curve: _mean_at_end(curve))
                _errorbars(panel, best, color, label)
            else:
                stops = sorted({stop for curve in curves.values() for stop in curve})
                envelope = {
                    stop: min(
                        (curve[stop] for curve in curves.values() if stop in curve),
                        key=statistics.mean,
                    )
                    for stop in stops
                }
                _errorbars(panel, envelope, color, label)
        panel.set_xscale("log", base=2)
        panel.set_xticks([1 / 8, 1 / 4, 1 / 2, 1], ["1/8", "1/4", "1/2", "1"])
        panel.set_xlabel("stop, as a part of the run")
    return figure


def draw_rates(rows: Sequence[Row]) -> Figure:
    """Error at the full length against the rate, a panel for each workload."""
    figure, panels = _panels(rows)
    for panel, workload in panels.items():
        here = [row for row in rows if (row.workload, row.horizon) == (workload, 1.0)]
        for name, (label, color, line) in STYLES.items():
            curve = _by(here, name, "horizon", "learning_rate").get(1.0)
            if curve:
                _errorbars(panel, curve, color, label, line)
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.set_xlabel("learning rate")
    return figure


def _panels(rows: Sequence[Row]) -> tuple[Figure, dict[Axes, str]]:
    workloads = list(dict.fromkeys(row.workload for row in rows))
    columns = min(3, len(workloads))
    lines = -(-len(workloads) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.0 * lines + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in grid[len(workloads) :]:
        panel.set_visible(False)
    for panel, workload in zip(grid, workloads, strict=False):
        panel.set_title(workload.replace("_", " "), fontsize=10, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="#e5e5e5", linewidth=0.8)
        panel.set_axisbelow(True)
    for panel in grid[::columns]:
        panel.set_ylabel("test error (%)")
    handles = [
        grid[0].plot([], [], color=color, ls=line, label=label)[0]
        for name, (label, color, line) in STYLES.items()
        if any(row.schedule == name for row in rows)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure, dict(zip(grid, workloads, strict=False))


def _by(rows: Sequence[Row], name: str, outer: str, inner: str) -> dict[float, Curve]:
    """A method's errors, by two of a row's fields."""
    found: dict[float, Curve] = {}
    for row in rows:
        if row.schedule == name:
            curve = found.setdefault(getattr(row, outer), {})
            curve.setdefault(getattr(row, inner), []).append(row.error)
    return found


def _means(curve: Curve) -> tuple[list[float], list[float]]:
    at = sorted(curve)
    return at, [statistics.mean(curve[x]) for x in at]


def _mean_at_end(curve: Curve) -> float:
    return statistics.mean(curve[max(curve)])


def _errorbars(
    panel: Axes, curve: Curve, color: str, label: str, line: str = "-"
) -> None:
    at, means = _means(curve)
    spread = [statistics.stdev(curve[x]) if len(curve[x]) > 1 else 0.0 for x in at]
    panel.errorbar(
        at, means, spread, color=color, ls=line, lw=1.8, capsize=2, marker="o", ms=3
    )
