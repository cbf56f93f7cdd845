"""What settings of AutoDrop change, in three looks; the default beside others."""

from collections.abc import Sequence
from functools import partial

from experiments.report.anytime import (
    StoppedRun,
    by_method,
    differences,
    mean_errors,
)
from experiments.report.statistics import difference, mean_sd
from experiments.report.tables import markdown_table

DEFAULT = "autodrop"
BASE = "ratio 1.5"  # the rule as it was when its parts were looked at
FIXED_TIMES = "fixed times"
FIRST_LOOK_ONLY = "power 3"  # a setting of the first look alone
FIRST_SEEDS = (0, 1, 2)


def rows_of_look(rows: Sequence[StoppedRun], look: str) -> list[StoppedRun]:
    """The settings' rows of one of the study's three looks.

    Args:
      rows: of the study.
      look: `first`, at all settings; `second`, with other seeds, on the same workloads;
        `third`, on the other workloads.
    """
    rows = [row for row in rows if row.schedule != FIXED_TIMES]
    first = {
        (row.workload, row.learning_rate)
        for row in rows
        if row.schedule == FIRST_LOOK_ONLY
    }
    choosing = {workload for workload, _ in first}
    rates: dict[str, set[float]] = {}
    for row in rows:
        rates.setdefault(row.workload, set()).add(row.learning_rate)

    def belongs(row: StoppedRun) -> bool:
        if row.workload not in choosing:
            highest = sorted(rates[row.workload])[-3:]
            return look == "third" and row.learning_rate in highest
        if row.seed not in FIRST_SEEDS:
            return look == "second"
        return look == "first" and (row.workload, row.learning_rate) in first

    return [row for row in rows if belongs(row)]


def change_table(rows: Sequence[StoppedRun]) -> str:
    """The default's error less BASE's, the mean over all rates: a line a workload.

    At each stop, of the first seeds, seed by seed; bold where told apart.
    """
    rows = [row for row in rows if row.schedule in (BASE, DEFAULT)]
    stops = sorted({row.horizon for row in rows})
    lines = []
    for workload in dict.fromkeys(row.workload for row in rows):
        groups = by_method(
            [x for x in rows if x.workload == workload and x.seed in FIRST_SEEDS]
        )
        rates = {rate for errors in groups.values() for rate in errors}

        over_rates = partial(mean_errors, rates=rates)
        cells = (
            difference(differences(groups, DEFAULT, BASE, stop, over_rates))
            for stop in stops
        )
        lines.append((f"`{workload}`", *cells))
    return markdown_table(("workload", *(f"at {stop:g}" for stop in stops)), lines)


def settings_table(rows: Sequence[StoppedRun], stop: float = 1.0) -> str:
    """Each setting's error less BASE's, seed by seed; bold where told apart.

    Args:
      rows: `schedule` is the name of the setting, of BASE the error itself is shown.
        In brackets: how many drops a run made, on average.
      stop: as a part of the workload's length.
    """
    rows = [row for row in rows if row.horizon == stop]
    columns = sorted(
        {(row.workload, row.learning_rate) for row in rows if row.schedule != BASE}
    )
    settings = list(dict.fromkeys(row.schedule for row in rows))
    found: dict[tuple, dict[int, StoppedRun]] = {}
    for row in rows:
        found.setdefault(row[:3], {})[row.seed] = row

    def cell(setting: str, workload: str, rate: float) -> str:
        runs = found.get((workload, setting, rate))
        if runs is None:
            return ""
        drops = sum(row.drops for row in runs.values()) / len(runs)
        if setting == BASE:
            text = mean_sd(row.error for row in runs.values())
        else:
            base = found[workload, BASE, rate]
            shared = sorted(runs.keys() & base.keys())
            text = difference([runs[i].error - base[i].error for i in shared])
        return f"{text} ({drops:.2g})"

    header = ("setting", *(f"`{name}` at {rate:g}" for name, rate in columns))
    return markdown_table(
        header,
        [(name, *(cell(name, *column) for column in columns)) for name in settings],
    )


def pair_table(rows: Sequence[StoppedRun], base: str, other: str) -> str:
    """Two settings at the full length: a line for each workload and rate of the other.

    Args:
      rows: of both, at the same rates. In brackets: the drops of each seed.
      base: a setting.
      other: the one whose error less the base's is the difference.
    """
    lines = []
    for workload, rate in dict.fromkeys(
        (row.workload, row.learning_rate) for row in rows if row.schedule == other
    ):
        ours, theirs = (
            {
                row.seed: row
                for row in rows
                if row[:3] == (workload, name, rate) and row.horizon == 1
            }
            for name in (base, other)
        )
        shared = sorted(ours.keys() & theirs.keys())
        cells = (
            f"{mean_sd(runs[i].error for i in shared)}"
            f" ({', '.join(str(runs[i].drops) for i in shared)})"
            for runs in (ours, theirs)
        )
        less = difference([theirs[i].error - ours[i].error for i in shared])
        lines.append((f"`{workload}`", f"{rate:g}", *cells, less))
    return markdown_table(("workload", "rate", base, other, "difference"), lines)
