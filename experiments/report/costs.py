"""AutoDrop's cost: the benchmark's lines."""

import math
from pathlib import Path
from typing import NamedTuple

from experiments.report.csv_file import read_csv
from experiments.report.tables import markdown_table


class Cost(NamedTuple):
    """A line of the benchmark; NaN where there is no figure."""

    what: str
    ratio: float  # of medians
    a_a: float  # of the base to another copy of itself
    limit: float  # of the ratio
    seconds: float
    base_seconds: float
    met: str  # the verdict, or why there is none


def costs_table(path: Path) -> str:
    """All lines that have a figure, of the benchmark's table."""

    def number(value: float) -> str:
        return f"{value:.2f}" if not math.isnan(value) else ""

    lines = []
    for cost in read_csv(path, Cost):
        if math.isnan(cost.ratio):
            continue
        aim = f"at most {cost.limit:.2f}" if not math.isnan(cost.limit) else ""
        aim += ", **missed**" * (cost.met == "NO")
        lines.append((cost.what, number(cost.ratio), number(cost.a_a), aim))
    return markdown_table(("what / against what", "ratio", "A/A", "aim"), lines)
