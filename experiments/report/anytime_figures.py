"""Errors at any stop, drawn: against time, against the rate, against what is told."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.report import figures
from experiments.report.anytime import (
    RIVAL,
    STYLES,
    StoppedRun,
    at_own_rate,
    by_method,
    one_name,
)
from experiments.report.requirements import requirements_figure

Curve = dict[float, list[float]]  # errors over the seeds, by rate or by stop


def draw_figures(rows: Sequence[StoppedRun], results: Path) -> None:
    """Draws error against time, against the rate, and against what must be told.

    Args:
      rows: of the study of stops.
      results: the folder to draw into.
    """
    figures.save(times_figure(rows), results / "anytime.png")
    figures.save(rates_figure(rows), results / "anytime_rates.png")
    if (figure := requirements(rows)) is not None:
        figures.save(figure, results / "anytime_needs.png")


def times_figure(rows: Sequence[StoppedRun]) -> Figure:
    """Error against the time of the stop, a panel for each workload.

    AutoDrop's and schedule-free's lines are of one rate, the best at the full length.
    Linear decay's is the envelope: at each stop its best rate there, of runs that were
    told that stop. Thin are the other rates.
    """
    shown = ("autodrop", RIVAL, "schedule_free")
    rows = one_name(rows)
    figure, panels = _panels([row for row in rows if row.schedule in shown])
    for panel, workload in panels.items():
        here = [row for row in rows if row.workload == workload]
        for name in shown:
            label, color, line = STYLES[name]
            curves = _by(here, name, "learning_rate", "horizon")
            if not curves:
                continue
            for curve in curves.values():
                panel.plot(*_means(curve), color=color, lw=0.7, alpha=0.4)
            if name != RIVAL:
                best = min(curves.values(), key=lambda curve: _mean_at_end(curve))
                _errorbars(panel, best, color, label, line)
            else:
                stops = sorted({stop for curve in curves.values() for stop in curve})
                envelope = {
                    stop: min(
                        (curve[stop] for curve in curves.values() if stop in curve),
                        key=statistics.mean,
                    )
                    for stop in stops
                }
                _errorbars(panel, envelope, color, label, line)
        panel.set_xscale("log", base=2)
        panel.set_xticks([1 / 8, 1 / 4, 1 / 2, 1], ["1/8", "1/4", "1/2", "1"])
        panel.set_xlabel("stop, as a part of the run")
    return figure


def rates_figure(rows: Sequence[StoppedRun]) -> Figure:
    """Error at the full length against the rate, a panel for each workload.

    The average without drops, many times worse at high rates, runs out of the panel.
    """
    rows = [row for row in one_name(rows) if row.schedule in STYLES]
    figure, panels = _panels(rows)
    for panel, workload in panels.items():
        here = [row for row in rows if (row.workload, row.horizon) == (workload, 1.0)]
        shown: list[float] = []
        for name, (label, color, line) in STYLES.items():
            curve = _by(here, name, "horizon", "learning_rate").get(1.0)
            if curve:
                _errorbars(panel, curve, color, label, line)
                shown += _means(curve)[1] if name != "constant_average" else ()
        if shown:
            margin = 0.2 * (max(shown) - min(shown)) or 1.0
            panel.set_ylim(min(shown) - margin, max(shown) + margin)
        rates = sorted({row.learning_rate for row in here})
        panel.set_xscale("log", base=2)
        panel.set_xticks(rates, [f"{rate:g}" for rate in rates])
        panel.set_xlabel("learning rate")
    return figure


def requirements(rows: Sequence[StoppedRun]) -> Figure | None:
    """Error at the full length, at its own best rate, against what must be told.

    Of the workloads where the rival has one; None: there is none.
    """
    tables: dict[str, dict[str, list[float]]] = {}
    for workload in dict.fromkeys(row.workload for row in rows):
        groups = by_method([row for row in rows if row.workload == workload])
        own = {
            name: [error for _, error in at_own_rate(errors).values()]
            for (name, stop), errors in groups.items()
            if stop == 1 and at_own_rate(errors)
        }
        if RIVAL in own:
            tables[workload] = own
    if not tables:
        return None
    names = dict.fromkeys(name for found in tables.values() for name in found)
    return requirements_figure(tables, {name: name for name in names}, RIVAL)


def _panels(rows: Sequence[StoppedRun]) -> tuple[Figure, dict[Axes, str]]:
    workloads = list(dict.fromkeys(row.workload for row in rows))
    columns = min(3, len(workloads))
    lines = -(-len(workloads) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.0 * lines + 0.5), layout="constrained")
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


def _by(
    rows: Sequence[StoppedRun], name: str, outer: str, inner: str
) -> dict[float, Curve]:
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
