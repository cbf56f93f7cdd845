"""Errors in cases out of the ordinary: a line for each, a column for each method."""

from collections.abc import Sequence
from typing import NamedTuple

from experiments.report.statistics import mean_sd
from experiments.report.tables import markdown_table


class HardRun(NamedTuple):
    """What a person would use at a stop."""

    case: str
    schedule: str
    seed: int
    horizon: float  # where it stops, as a fraction of the run
    error: float  # percent of the test set wrong
    drops: int  # until then


def cases_table(rows: Sequence[HardRun], stops: Sequence[float] = (0.75, 1.0)) -> str:
    """Mean ± sd over seeds at some stops; in brackets the drops of each seed."""
    methods = list(dict.fromkeys(row.schedule for row in rows))

    def cell(case: str, method: str, stop: float) -> str:
        found = [row for row in rows if row[:2] == (case, method)]
        found = [row for row in found if row.horizon == stop]
        if not found:
            return ""
        drops = ", ".join(str(row.drops) for row in found if row.drops)
        return mean_sd(row.error for row in found) + (f" ({drops})" if drops else "")

    header = [f"`{name}`, at {stop:g}" for name in methods for stop in stops]
    return markdown_table(
        ("case", *header),
        [
            (case, *(cell(case, name, stop) for name in methods for stop in stops))
            for case in dict.fromkeys(row.case for row in rows)
        ],
    )
