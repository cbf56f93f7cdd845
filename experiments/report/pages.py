"""`python -m experiments tables`: the tables of the pages, from the results.

A page has `<!-- table: NAME -->` in front of a table and `<!-- end -->` behind it; what
stands between them is made here and nowhere else.
"""

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.benchmark.step_time import AGAIN, BASE
from experiments.errors import UserError
from experiments.report.rows import (
    TARGET,
    EvidenceRow,
    differences_table,
    finals_table,
    pairs_table,
    read_rows,
    summary_table,
)
from experiments.report.statistics import markdown_table, mean_sd
from experiments.schedules import SCHEDULES
from experiments.studies import windowed_tables
from experiments.studies.tuned import TUNING, tuned_rate, validation_errors

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"
STUDIES = RESULTS / "studies"
BENCHMARK = RESULTS / "benchmark.csv"
PAGES = (
    ROOT / "README.md",
    ROOT / "experiments" / "README.md",
    ROOT / "experiments" / "schedules" / "README.md",
    ROOT / "experiments" / "studies" / "README.md",
    ROOT / "docs" / "benchmarks.md",
    ROOT / "docs" / "choosing.md",
    ROOT / "docs" / "evidence.md",
)
BLOCK = re.compile(r"(<!-- table: (.+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def summary(name: str) -> str:
    """A study's table, one line per schedule."""
    return summary_table(read_rows(STUDIES / f"{name}.csv"))


def differences(names: str) -> str:
    """A study's differences to multi-step, or to the arm named behind the study."""
    name, _, baseline = names.partition(" ")
    rows = read_rows(STUDIES / f"{name}.csv")
    return differences_table(rows, baseline or TARGET)


def pairs(name: str) -> str:
    """A study's AutoDrop against its multi-step, setting by setting."""
    return pairs_table(read_rows(STUDIES / f"{name}.csv"))


def finals(names: str) -> str:
    """The final errors of several tables, a column each with its workload's name."""
    return finals_table(
        {
            f"`{rows[0].workload}` (n = {seeds(rows)})": rows
            for name in names.split()
            for rows in [read_rows(STUDIES / f"{name}.csv")]
        }
    )


def seeds(rows: Sequence[EvidenceRow]) -> int:
    """How many seeds a table has."""
    return len({row.seed for row in rows})


def tuning(workload: str) -> str:
    """The validation error at each rate; the lowest is bold."""
    errors = validation_errors(workload, STUDIES)
    if not errors:
        raise FileNotFoundError(f"no rates of {workload} in {STUDIES / TUNING}")
    best = tuned_rate(workload, STUDIES)
    cells = {f"{r:g}": f"{e:.2f}" for r, e in errors.items()}
    cells[f"{best:g}"] = f"**{cells[f'{best:g}']}**"
    return markdown_table(["rate", *cells], [[f"`{workload}`", *cells.values()]])


def needs(workloads: str) -> str:
    """What each schedule must be told, its memory, and its step's time on workloads."""
    times = [step_times(workload) for workload in workloads.split()]
    header = ["schedule", "source", "must be told", "copies", "beyond"]
    header += [f"time, `{workload}`" for workload in workloads.split()]
    lines = [
        (
            f"`{name}`",
            kind.source,
            str(kind.requires),
            f"{kind.copies}",
            f"{kind.copies - kind.base_copies}",
            *(column.get(name, "") for column in times),
        )
        for name, kind in SCHEDULES.items()
    ]
    return markdown_table(header, lines)


def step_times(workload: str) -> dict[str, str]:
    """What a step takes under each schedule, over one at a constant rate."""
    with (STUDIES / f"{workload}_step_time.csv").open(newline="") as file:
        ratios = {row["schedule"]: float(row["ratio"]) for row in csv.DictReader(file)}
    times = {name: f"{ratio:.2f}" for name, ratio in ratios.items()}
    times[BASE] += f", again {times[AGAIN]}"
    return times


# The rows of the benchmark that pages show, by what each starts with.
COSTS = {
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


def costs(name: str) -> str:
    """Rows of the benchmark."""
    with BENCHMARK.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["ratio"]]
    lines = []
    for row in rows:
        if not row["what"].startswith(COSTS[name]):
            continue
        aim = f"at most {float(row['limit']):.2f}" if row["limit"] else ""
        aim += ", **missed**" * (row["met"] == "NO")
        figures = (
            f"{float(row[column]):.2f}" if row[column] else ""
            for column in ("ratio", "a_a")
        )
        lines.append((row["what"], *figures, aim))
    return markdown_table(("what / against what", "ratio", "A/A", "aim"), lines)


DEMO = {
    "demo_autodrop": "AutoDrop, tuned for 60 epochs",
    "paper_autodrop": "AutoDrop, as the paper recommends",
    "multistep": "multi-step",
    "constant": "constant",
}


def demo(name: str) -> str:
    """The study of the demo: final errors, or the epochs of the drops."""
    runs = windowed_tables.read(STUDIES / "epoch_demo.csv")
    cell = {"errors": _errors, "drops": _drops}[name]
    titles = windowed_tables.WORKLOADS
    lines = [
        (title, *(cell(windowed_tables.select(runs, name, key)) for name in titles))
        for key, title in DEMO.items()
    ]
    return markdown_table(("schedule", *titles.values()), lines)


def _errors(runs: Sequence[windowed_tables.Row]) -> str:
    return mean_sd(float(run["final_error"]) for run in runs)


def _drops(runs: Sequence[windowed_tables.Row]) -> str:
    return "; ".join(run["drop_epochs"] or "none" for run in runs)


def windowed(name: str) -> str:
    """What came out of the study of the windowed method."""
    runs = windowed_tables.read(RESULTS / "windowed.csv")
    if name == "errors":
        demo_runs = windowed_tables.read(STUDIES / "epoch_demo.csv")
        return windowed_tables.errors_table(runs + demo_runs)
    if name == "walks":
        walks = windowed_tables.read(RESULTS / "random_walk.csv")
        return windowed_tables.walks_table(walks)
    tables = {
        "differences": windowed_tables.differences_table,
        "spacing": windowed_tables.spacing_table,
    }
    return tables[name](runs)


TABLES: dict[str, Callable[[str], str]] = {
    "summary": summary,
    "differences": differences,
    "finals": finals,
    "needs": needs,
    "pairs": pairs,
    "costs": costs,
    "tuning": tuning,
    "demo": demo,
    "windowed": windowed,
}


def filled(page: str) -> str:
    """Returns a page with its tables made anew.

    Raises:
      UserError: a mark names no table, or one without results.
    """

    def fill(block: re.Match[str]) -> str:
        start, mark, _, end = block.groups()
        kind, _, name = mark.partition(" ")
        if kind not in TABLES:
            raise UserError(
                f"unknown table {mark!r}: choose from {', '.join(TABLES)}, and a name."
            )
        try:
            table = TABLES[kind](name)
        except (FileNotFoundError, KeyError) as error:
            raise UserError(f"no results for the table {mark!r}: {error}.") from None
        return f"{start}\n{table}\n\n{end}"

    return BLOCK.sub(fill, page)


def tables_command() -> None:
    """Makes the tables of the pages anew from experiments/results."""
    for page in PAGES:
        text = page.read_text()
        new = filled(text)
        if new != text:
            page.write_text(new)
        print(f"{page.relative_to(ROOT)}: {'changed' if new != text else 'as it was'}")
