"""Errors at any stop, and what a wrong rate costs: lines and tables."""

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from autodrop_optax.plot import COLORS
from experiments.report.statistics import difference, mean_sd, told_apart
from experiments.report.tables import markdown_table

Errors = Mapping[float, Mapping[int, float]]  # by rate and seed
RIVAL = "linear_decay"
# Where what must be told the end is run to, as parts of the workload's length.
HORIZONS = (0.25, 0.5, 1.0)

STYLES = {  # label, colour, line
    "autodrop": ("AutoDrop, not told the end", COLORS[0], "-"),
    "linear_decay": ("linear decay, told the end", COLORS[1], "-"),
    "inverse_sqrt_average": ("1/sqrt, with the average", COLORS[2], "--"),
    "constant_average": ("the average, no drops", COLORS[3], ":"),
    "schedule_free": ("schedule-free", COLORS[4], "-."),
}


class StoppedRun(NamedTuple):
    """An error at a stop."""

    workload: str
    schedule: str
    learning_rate: float
    seed: int
    horizon: float  # where it stops, as a fraction of the workload's length
    error: float  # percent of the test set wrong
    loss: float  # nats, mean over the test set
    drops: int  # until then


def one_name(rows: Sequence[StoppedRun]) -> list[StoppedRun]:
    """The rows, with schedule-free SGD and AdamW by one name."""
    free = "schedule_free"
    return [
        row._replace(schedule=free) if row.schedule.startswith(free) else row
        for row in rows
    ]


def rates_table(rows: Sequence[StoppedRun]) -> str:
    """Mean ± sd over seeds: a line for each method and stop, a column for each rate."""
    rates = sorted({row.learning_rate for row in rows})
    return markdown_table(
        ("schedule", "stop", *(f"{rate:g}" for rate in rates)),
        [
            (
                f"`{name}`",
                f"{stop:g}",
                *(mean_sd(errors[x].values()) if x in errors else "" for x in rates),
            )
            for (name, stop), errors in by_method(rows).items()
        ],
    )


def own_rates_table(rows: Sequence[StoppedRun], rival: str = RIVAL) -> str:
    """Each method's error at its own best rate and at its worst, for each stop.

    Args:
      rows: of one workload.
      rival: the method whose error, at its own best rate, is taken from the others',
        seed by seed; bold where told apart.
    """
    groups = by_method(rows)
    lines = []
    for (name, stop), errors in groups.items():
        found = at_own_rate(errors)
        rates = sorted({rate for rate, _ in found.values()})
        less = differences(groups, name, rival, stop) if name != rival else []
        means = {rate: statistics.mean(e.values()) for rate, e in errors.items()}
        worst = max(means, key=lambda rate: means[rate])
        lines.append(
            (
                f"`{name}`",
                f"{stop:g}",
                str(len(found)),
                mean_sd(error for _, error in found.values()),
                ", ".join(f"{rate:g}" for rate in rates),
                difference(less),
                f"{mean_sd(errors[worst].values())} at {worst:g}",
            )
        )
    header = ("schedule", "stop", "n", "error in % at its own best rate", "which")
    return markdown_table((*header, f"minus `{rival}`", "at its worst rate"), lines)


def rivals_table(rows: Sequence[StoppedRun], by: str) -> str:
    """AutoDrop's error minus those of others at each stop, a line for each workload.

    Args:
      rows: of the study of stops.
      by: the rate of each method: its `own` best, or a `guess`: the mean over the rates
        that all of STYLES were run at. Seed by seed, bold where told apart.
    """
    rows = one_name(rows)
    cases = [(other, stop) for other in (RIVAL, "schedule_free") for stop in HORIZONS]
    lines = []
    for workload in dict.fromkeys(row.workload for row in rows):
        groups = by_method([row for row in rows if row.workload == workload])
        shared = shared_rates(groups)
        errors_of = {"own": own_errors, "guess": partial(mean_errors, rates=shared)}[by]
        cells = (
            difference(differences(groups, "autodrop", other, stop, errors_of))
            for other, stop in cases
        )
        lines.append((f"`{workload}`", *cells))
    header = (f"minus `{other}`, at {stop:g}" for other, stop in cases)
    return markdown_table(("workload", *header), lines)


def summary_table(rows: Sequence[StoppedRun]) -> str:
    """Each method's error at the full length: a line for each workload.

    At its own best rate, the mean over the rates that all were run at, and at the worst
    of these.
    """
    rows = one_name(rows)
    lines = []
    for workload in dict.fromkeys(row.workload for row in rows):
        groups = by_method([row for row in rows if row.workload == workload])
        shared = sorted(shared_rates(groups))
        cells = []
        for name in STYLES:
            errors = groups.get((name, 1.0))
            if errors is None:
                cells.append("")
                continue
            values = [statistics.mean(own_errors(errors).values())]
            seeds = mean_errors(errors, shared)  # of those that were run at all of them
            if seeds:
                means = [statistics.mean(errors[x][i] for i in seeds) for x in shared]
                values += statistics.mean(means), max(means)
            cells.append(", ".join(f"{value:.2f}" for value in values))
        rates = f"{shared[0]:g} to {shared[-1]:g}" if shared else "none"
        lines.append((f"`{workload}`", rates, *cells))
    return markdown_table(("workload", "rates", *(f"`{x}`" for x in STYLES)), lines)


def shared_rates(groups: Mapping[tuple[str, float], Errors]) -> set[float]:
    """The rates that all of STYLES that there are were run at, to the full length."""
    rates = [
        {*errors} for (x, stop), errors in groups.items() if x in STYLES and stop == 1
    ]
    return set.intersection(*rates) if rates else set()


def own_errors(errors: Errors) -> dict[int, float]:
    """Each seed's error at the rate that the others choose."""
    return {seed: error for seed, (_, error) in at_own_rate(errors).items()}


def mean_errors(errors: Errors, rates: Collection[float]) -> dict[int, float]:
    """The mean over some rates, of each seed that was run at all of them."""
    if not rates or not {*rates} <= {*errors}:
        return {}
    seeds = set.intersection(*({*errors[rate]} for rate in rates))
    return {i: statistics.mean(errors[x][i] for x in rates) for i in sorted(seeds)}


def methods_table(rows: Sequence[StoppedRun], rival: str = RIVAL) -> str:
    """Errors at the full length, at its own best rate: a line for each method.

    **Bold** is better than the rival and *italics* worse, where told apart seed by
    seed; in brackets the number of seeds.
    """
    rows = one_name(rows)
    workloads = list(dict.fromkeys(row.workload for row in rows))
    own: dict[tuple[str, str], dict[int, float]] = {}
    for workload in workloads:
        groups = by_method([row for row in rows if row.workload == workload])
        for (name, stop), errors in groups.items():
            if stop == 1:
                own[name, workload] = own_errors(errors)

    def cell(name: str, workload: str) -> str:
        found, there = own.get((name, workload)), own.get((rival, workload), {})
        if not found:
            return ""
        shared = sorted(found.keys() & there.keys()) if name != rival else []
        less = [found[seed] - there[seed] for seed in shared]
        text = mean_sd(found.values())
        if len(less) > 1 and told_apart(less):
            mark = "**" if statistics.mean(less) < 0 else "*"
            text = f"{mark}{text}{mark}"
        return f"{text} ({len(found)})"

    names = dict.fromkeys(name for name, _ in own)
    return markdown_table(
        ("schedule", *(f"`{workload}`" for workload in workloads)),
        [(f"`{x}`", *(cell(x, workload) for workload in workloads)) for x in names],
    )


def by_method(
    rows: Sequence[StoppedRun],
) -> dict[tuple[str, float], dict[float, dict[int, float]]]:
    """Errors by method and stop, then by rate and seed."""
    groups: dict[tuple[str, float], dict[float, dict[int, float]]] = {}
    for row in rows:
        cells = groups.setdefault((row.schedule, row.horizon), {})
        cells.setdefault(row.learning_rate, {})[row.seed] = row.error
    return groups


def differences(
    groups: Mapping[tuple[str, float], Errors],
    name: str,
    rival: str,
    stop: float,
    errors_of: Callable[[Errors], dict[int, float]] = own_errors,
) -> list[float]:
    """A method's errors minus a rival's, of the seeds of both.

    Args:
      groups: errors of one workload, as :func:`by_method` returns them.
      name: of the method.
      rival: of the other.
      stop: as a part of the workload's length.
      errors_of: takes each seed's error from those at all rates.
    """
    ours, there = (errors_of(groups.get((x, stop), {})) for x in (name, rival))
    return [ours[i] - there[i] for i in sorted(ours.keys() & there.keys())]


def at_own_rate(errors: Errors) -> dict[int, tuple[float, float]]:
    """Each seed's rate and error, where the other seeds have the lowest mean error.

    Seeds that were run at all rates choose; of equal rates the lowest is taken. A seed
    that was not run at the rate that the others choose has none, as one seed alone.
    """
    seeds: set[int] = set().union(*errors.values())
    choosing = seeds.intersection(*errors.values())

    def others(rate: float, seed: int) -> float:
        rest = [errors[rate][other] for other in choosing - {seed}]
        # Equal counts of wrong examples are equal here, whatever was rounded.
        return round(statistics.mean(rest), 3)

    found = {}
    for seed in sorted(seeds):
        if choosing - {seed}:
            rate = min(sorted(errors), key=lambda rate: others(rate, seed))
            if seed in errors[rate]:
                found[seed] = rate, errors[rate][seed]
    return found
