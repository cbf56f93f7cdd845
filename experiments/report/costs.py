"""AutoDrop's cost: the benchmark's lines, and those that pages show."""

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


# The lines that pages show, by what each starts with.
SHOWN = {
    "all": ("",),
    "main": (
        "step, 10 M: sgd, link / sgd",
        "step, 100 M: sgd, link / sgd",
        "step, 100 M: with_epoch_autodrop(sgd) / sgd",
        "step, 100 M: sgd, reduce_on_plateau / sgd",
        "step, 100 M: schedule_free / sgd",
        "training, one scan: with_epoch_autodrop / without",
        "training, step calls: with_epoch_autodrop / without",
        "angle, 100 M in 1, 90 degrees",
        "angle, 100 M in 200, 90 degrees",
        "end_epoch, 100 M in 1, no delay / read three, write two new",
        "end_epoch, 100 M in 200, no delay",
        "epoch of the demo / PyTorch",
    ),
    "accumulated": ("micro-batch,",),
    "windowed": (
        "training, one scan: windowed_autodrop",
        "training, step calls: windowed_autodrop",
        "step, 10 M: sgd, windowed_autodrop",
    ),
}


def costs_table(name: str, path: Path) -> str:
    """Lines of the benchmark.

    Args:
      name: a key of SHOWN.
      path: of the benchmark's table.
    """

    def number(value: float) -> str:
        return f"{value:.2f}" if not math.isnan(value) else ""

    lines = []
    for cost in read_csv(path, Cost):
        if not cost.what.startswith(SHOWN[name]) or math.isnan(cost.ratio):
            continue
        aim = f"at most {cost.limit:.2f}" if not math.isnan(cost.limit) else ""
        aim += ", **missed**" * (cost.met == "NO")
        lines.append((cost.what, number(cost.ratio), number(cost.a_a), aim))
    return markdown_table(("what / against what", "ratio", "A/A", "aim"), lines)
