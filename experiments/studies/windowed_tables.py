"""The README's tables of the study of windowed AutoDrop, from its CSV files."""

import csv
import math
import statistics
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from experiments.report.statistics import markdown_table

Row = dict[str, str]

WORKLOADS = {"fashion_mnist_mlp": "Fashion-MNIST", "digits_mlp": "digits"}
SCHEDULES = {
    "windowed_autodrop": "windowed AutoDrop, 1200 windows",
    "matched_exponential": "exponential, as many drops, evenly spaced",
    "exponential": "exponential, 0.95 every 13 windows",
    "windowed_autodrop_64": "windowed AutoDrop, windows of 64 steps",
    "linear_decay": "linear decay",
    "demo_autodrop": "AutoDrop, demo's settings",
    "multistep": "multi-step",
}
SEEDS = 5  # of the rules: fewer are said so


def all_tables(results: Path) -> str:
    """Returns every table in Markdown.

    Args:
      results: the folder with the windowed study's tables and studies/epoch_demo.csv.
    """
    runs = read(results / "windowed.csv")
    errors = errors_table(runs + read(results / "studies" / "epoch_demo.csv"))
    return "\n\n".join(
        (
            errors,
            differences_table(runs),
            spacing_table(runs),
            walks_table(read(results / "random_walk.csv")),
            window_steps_table(read(results / "window_steps.csv") + runs),
        )
    )


def read(path: Path) -> list[Row]:
    """Reads a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def errors_table(runs: Sequence[Row]) -> str:
    """Final test error of every schedule on every workload."""
    lines = []
    for schedule, name in SCHEDULES.items():
        cells = []
        for workload in WORKLOADS:
            rows = select(runs, workload, schedule)
            few = f" (n = {len(rows)})" if 0 < len(rows) < SEEDS else ""
            cells.append(over_seeds(rows, "final_error", ".2f") + few)
        lines.append([name, *cells])
    return markdown_table(["final test error in %", *WORKLOADS.values()], lines)


def differences_table(runs: Sequence[Row]) -> str:
    """The windowed method minus each control, seed by seed, with Student's t."""
    lines = []
    for workload, name in WORKLOADS.items():
        for control in ("matched_exponential", "exponential", "linear_decay"):
            ours, theirs = (
                {row["seed"]: float(row["final_error"]) for row in rows}
                for rows in (
                    select(runs, workload, "windowed_autodrop"),
                    select(runs, workload, control),
                )
            )
            gaps = [ours[seed] - theirs[seed] for seed in ours.keys() & theirs.keys()]
            if len(gaps) < 2:
                continue
            mean, deviation = statistics.mean(gaps), statistics.stdev(gaps)
            t = mean / (deviation / math.sqrt(len(gaps))) if deviation else math.nan
            lines.append(
                [
                    name,
                    SCHEDULES[control],
                    f"{mean:+.2f} ± {deviation:.2f}",
                    str(len(gaps)),
                    f"{t:+.2f}",
                ]
            )
    header = ["workload", "windowed minus", "points of error", "n", "t"]
    return markdown_table(header, lines)


def spacing_table(runs: Sequence[Row]) -> str:
    """How the windowed method dropped."""
    lines = []
    for workload, name in WORKLOADS.items():
        for schedule in ("windowed_autodrop", "windowed_autodrop_64"):
            rows = select(runs, workload, schedule)
            if rows:
                lines.append([name, rows[0]["window_steps"], *course(rows)])
    header = ["workload", "window_steps", "drops", "windows per drop", "share"]
    return markdown_table([*header, "final rate"], lines)


def course(rows: Sequence[Row]) -> list[str]:
    """Drops, spacing, share and final rate over the seeds."""
    return [
        over_seeds(rows, "num_drops", ".1f"),
        over_seeds(rows, "spacing", ".2f"),
        over_seeds(rows, "share", ".2f"),
        over_seeds(rows, "final_rate", ".2g"),
    ]


def walks_table(walks: Sequence[Row]) -> str:
    """The same without any signal."""

    def case(row: Row) -> tuple[str, int, str, bool]:
        sided = row["two_sided"] == "True"
        return row["inputs"], int(row["parameters"]), row["smoothing"], sided

    lines = []
    for (inputs, parameters, smoothing, two_sided), rows in groupby(
        sorted(walks, key=case), key=case
    ):
        rows = list(rows)
        lines.append(
            [
                inputs,
                str(parameters),
                smoothing,
                "two" if two_sided else "one",
                over_seeds(rows, "num_drops", ".1f"),
                over_seeds(rows, "spacing", ".2f"),
                over_seeds(rows, "share", ".2f"),
            ]
        )
    header = ["parameters are a", "their number", "smoothing in", "sided", "drops"]
    return markdown_table([*header, "windows per drop", "share"], lines)


def window_steps_table(runs: Iterable[Row]) -> str:
    """What the length of the windows does on the digits."""
    rows = [
        row for row in runs if row["workload"] == "digits_mlp" and row["window_steps"]
    ]
    rows.sort(key=lambda row: int(row["window_steps"]))
    lines = []
    for window_steps, group in groupby(rows, key=lambda row: row["window_steps"]):
        group = list(group)
        error = over_seeds(group, "final_error", ".2f")
        drops, spacing, _, rate = course(group)
        lines.append([window_steps, drops, spacing, rate, error])
    header = ["window_steps", "drops", "windows per drop", "final rate"]
    return markdown_table([*header, "final test error in %"], lines)


def select(runs: Iterable[Row], workload: str, schedule: str) -> list[Row]:
    """The runs of one schedule on one workload."""
    found = [
        row
        for row in runs
        if (row["workload"], row["schedule"]) == (workload, schedule)
    ]
    return sorted(found, key=lambda row: int(row["seed"]))


def over_seeds(rows: Iterable[Row], name: str, form: str) -> str:
    """Mean and sample standard deviation; "none" where there is no figure."""
    values = [float(row[name]) for row in rows if row[name]]
    if not values:
        return "none"
    if len(values) == 1:
        return f"{values[0]:{form}}"
    return f"{statistics.mean(values):{form}} ± {statistics.stdev(values):{form}}"
