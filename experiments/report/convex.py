"""Schedules on convex problems: lines and tables."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from experiments.report.statistics import t_limit, t_statistic
from experiments.report.tables import markdown_table

LINEAR = "linear decay"  # that the others are relative to
TITLES = {"adam": "Adam", "sgd": "SGD"}


class ConvexRow(NamedTuple):
    """One schedule on one data set, over the reported seeds."""

    optimizer: str
    data: str
    schedule: str
    rate: float
    at_edge: bool  # whether the rate is the first or the last of the grid
    n: int
    excess_loss: float  # mean, above the minimum
    excess_loss_se: float
    error: float  # mean, percent
    error_se: float
    ratio: float  # of the mean excess loss to that of linear decay
    t: float  # of the losses minus those of linear decay, paired; 0 of itself
    drops: float  # mean, of AutoDrop
    peak: float  # where the schedule is 1, mean, as a share of the run


class Summary(NamedTuple):
    """One schedule against linear decay, over the data sets."""

    geometric_mean: float  # of the ratios
    t: float  # of the mean logarithm of the ratios
    better: int  # data sets on which the paired test says so
    worse: int


def summarise(found: Iterable[ConvexRow], optimizer: str, schedule: str) -> Summary:
    """The rows of one optimizer and schedule, in one."""
    mine = [r for r in found if (r.optimizer, r.schedule) == (optimizer, schedule)]
    logs = [math.log(row.ratio) for row in mine]
    limit = t_limit(mine[0].n)
    return Summary(
        geometric_mean=math.exp(sum(logs) / len(logs)),
        t=t_statistic(logs),
        better=sum(row.t < -limit for row in mine),
        worse=sum(row.t > limit for row in mine),
    )


def convex_tables(rows: Sequence[ConvexRow]) -> str:
    """A table for each optimizer, as Markdown."""
    return "\n\n".join(
        f"### {title}\n\n{_normalised(found, optimizer)}"
        for optimizer, title in TITLES.items()
        if (found := [row for row in rows if row.optimizer == optimizer])
    )


def schedules(rows: Iterable[ConvexRow]) -> list[str]:
    """The schedules, in the order of the rows."""
    return list(dict.fromkeys(row.schedule for row in rows))


def _normalised(rows: Sequence[ConvexRow], optimizer: str) -> str:
    """The ratios, and below them what they come to; the lowest of a line is bold."""
    lowest = {
        name: min(row.ratio for row in rows if row.data == name)
        for name in dict.fromkeys(row.data for row in rows)
    }

    def text(row: ConvexRow) -> str:
        ratio = f"{row.ratio:.2f}"
        if row.ratio == lowest[row.data]:
            ratio = f"**{ratio}**"
        limit = t_limit(row.n)
        return ratio + ("-" if row.t < -limit else "+" if row.t > limit else "")

    summaries = [summarise(rows, optimizer, schedule) for schedule in schedules(rows)]
    others = [schedule != LINEAR for schedule in schedules(rows)]

    def line(name: str, values: Iterable[str]) -> list[str]:
        return [name, *(v if o else "" for v, o in zip(values, others, strict=True))]

    cells = {(row.data, row.schedule): text(row) for row in rows}
    return markdown_table(
        ["data", *schedules(rows)],
        [
            *([n, *(cells[n, x] for x in schedules(rows))] for n in lowest),
            ["**geometric mean**", *(f"{x.geometric_mean:.2f}" for x in summaries)],
            line("t of the mean logarithm", (f"{x.t:+.1f}" for x in summaries)),
            line("better, worse", (f"{x.better}, {x.worse}" for x in summaries)),
        ],
    )
