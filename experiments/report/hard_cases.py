"""Errors in cases out of the ordinary: a line for each, a column for each method."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from experiments.report.statistics import difference, mean_sd
from experiments.report.tables import markdown_table

STALE = "BatchNorm, statistics of the trained parameters"
RECOMPUTED = "BatchNorm, statistics recomputed"


class HardRun(NamedTuple):
    """What a person would use at a stop."""

    case: str
    schedule: str
    seed: int
    horizon: float  # where it stops, as a fraction of the run
    error: float  # percent of the test set wrong
    drops: int  # until then


def cases_table(rows: Sequence[HardRun], rival: str = "linear_decay") -> str:
    """Mean ± sd over seeds after the last epoch; in brackets the drops of each seed.

    Args:
      rows: of all cases and methods.
      rival: what AutoDrop's error is compared with, seed by seed; bold where told
        apart. Cases that have no run of it are left out.
    """
    found: dict[tuple[str, str], dict[int, HardRun]] = {}
    for row in rows:
        if row.horizon == 1:
            found.setdefault(row[:2], {})[row.seed] = row
    methods = list(dict.fromkeys(name for _, name in found))
    lines = []
    for case in dict.fromkeys(case for case, name in found if name == rival):
        ours, there = found.get((case, "autodrop"), {}), found[case, rival]
        shared = sorted(ours.keys() & there.keys())
        less = [ours[seed].error - there[seed].error for seed in shared]
        cells = (cell(found.get((case, name), {}).values()) for name in methods)
        lines.append((case, *cells, difference(less)))
    names = (f"`{name}`" for name in methods)
    return markdown_table(("case", *names, f"minus `{rival}`"), lines)


def stops_table(rows: Sequence[HardRun], cases: Sequence[str]) -> str:
    """AutoDrop's errors at each stop, a line for each case."""
    found: dict[tuple[str, float], list[HardRun]] = {}
    for row in rows:
        if row.schedule == "autodrop":
            found.setdefault((row.case, row.horizon), []).append(row)
    stops = sorted({stop for case, stop in found if case in cases})
    return markdown_table(
        ("at", *(f"{stop:g} of the run" for stop in stops)),
        [
            (case, *(cell(found.get((case, stop), ())) for stop in stops))
            for case in cases
        ],
    )


def cell(runs: Iterable[HardRun]) -> str:
    """Mean ± sd, and the drops if there were any."""
    runs = list(runs)
    if not runs:
        return ""
    drops = ", ".join(str(run.drops) for run in runs)
    text = mean_sd(run.error for run in runs)
    return f"{text} ({drops})" if any(run.drops for run in runs) else text
