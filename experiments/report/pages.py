"""The pages' tables, from the results.

A page has `<!-- table: NAME -->` in front of a table and `<!-- end -->` behind it; what
stands between them is made here and nowhere else.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.errors import UserError
from experiments.report import anytime, windowed
from experiments.report.anytime import StoppedRun
from experiments.report.anytime_figures import draw_figures
from experiments.report.autodrop_parts import (
    BASE,
    DEFAULT,
    FIXED_TIMES,
    change_table,
    pair_table,
    rows_of_look,
    settings_table,
)
from experiments.report.batch_norm import Averaging, averagings_table
from experiments.report.comparison import (
    BASELINES,
    ComparedRun,
    by_schedule,
    finals_table,
    pairs_table,
    summary_table,
)
from experiments.report.convex import ConvexRow, convex_tables
from experiments.report.costs import costs_table
from experiments.report.csv_file import read_csv
from experiments.report.hard_cases import (
    RECOMPUTED,
    STALE,
    HardRun,
    cases_table,
    stops_table,
)
from experiments.report.held_out import tuning_table
from experiments.report.outcome import Outcome
from experiments.report.requirements import requirements_table
from experiments.report.statistics import mean_sd
from experiments.report.tables import markdown_table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"
STUDIES = RESULTS / "studies"
GLOBS = ("README.md", "docs/*.md", "experiments/**/*.md")
BLOCK = re.compile(r"(<!-- table: (.+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """The pages that have tables."""
    found = (path for glob in GLOBS for path in sorted(ROOT.glob(glob)))
    return [path for path in found if BLOCK.search(path.read_text())]


def compared(name: str) -> list[ComparedRun]:
    """The runs of a study's table."""
    return read_csv(STUDIES / f"{name}.csv", ComparedRun)


def summary(names: str) -> str:
    """The schedules of one or several tables: `TABLE ... [minus SCHEDULE ...]`.

    One that several have is that of the first.
    """
    tables, _, baselines = names.partition(" minus ")
    groups: dict[str, list[ComparedRun]] = {}
    for table in tables.split():
        for name, group in by_schedule(compared(table)).items():
            groups.setdefault(name, group)
    rows = [run for group in groups.values() for run in group]
    return summary_table(rows, baselines.split() or BASELINES)


def finals(names: str) -> str:
    """The final errors of several tables, a column each with its workload's name."""
    return finals_table(
        {
            f"`{runs[0].workload}` (n = {len({run.seed for run in runs})})": runs
            for name in names.split()
            for runs in [compared(name)]
        }
    )


def requirements(workloads: str) -> str:
    """What schedules must be told, and what their steps take on workloads."""
    paths = {name: STUDIES / f"{name}_step_time.csv" for name in workloads.split()}
    return requirements_table(paths)


DEMO = {
    "demo_autodrop": "`epoch_autodrop`, set for 60 epochs",
    "paper_autodrop": "`epoch_autodrop`, as the paper recommends",
    "multistep": "multi-step",
    "constant": "constant",
}


def demo(name: str) -> str:
    """The study of the demo: final errors, or the epochs of the drops."""
    outcomes = read_csv(STUDIES / "epoch_demo.csv", Outcome)

    def errors(runs: Sequence[Outcome]) -> str:
        return mean_sd(run.final_error for run in runs)

    def drops(runs: Sequence[Outcome]) -> str:
        return "; ".join(run.drop_epochs or "none" for run in runs)

    cell = {"errors": errors, "drops": drops}[name]
    titles = windowed.WORKLOAD_TITLES
    lines = [
        (title, *(cell(windowed.select(outcomes, name, key)) for name in titles))
        for key, title in DEMO.items()
    ]
    return markdown_table(("schedule", *titles.values()), lines)


def anytime_tables(name: str) -> str:
    """Errors at any stop, of all workloads: `summary`, `methods`, `own`, `guess`."""
    rows = read_csv(STUDIES / "anytime.csv", StoppedRun)
    tables = {"summary": anytime.summary_table, "methods": anytime.methods_table}
    return tables[name](rows) if name in tables else anytime.rivals_table(rows, name)


def settings(name: str) -> str:
    """What settings of AutoDrop change.

    In three looks, `first STOP`, `second STOP` and `third`; what the new default does
    at all rates, `change`; drops at fixed times, `times`.
    """
    rows = read_csv(STUDIES / "autodrop_parts.csv", StoppedRun)
    look, _, stop = name.partition(" ")
    tables = {
        "first": lambda: settings_table(rows_of_look(rows, look), float(stop)),
        "second": lambda: settings_table(rows_of_look(rows, look), float(stop)),
        "third": lambda: pair_table(rows_of_look(rows, look), BASE, DEFAULT),
        "change": lambda: change_table(rows),
        "times": lambda: pair_table(rows, DEFAULT, FIXED_TIMES),
    }
    return tables[look]()


def hard_cases(name: str) -> str:
    """Training that is disturbed or set up otherwise; BatchNorm's statistics."""
    rows = read_csv(STUDIES / "hard_cases.csv", HardRun)
    return (
        cases_table(rows) if name == "all" else stops_table(rows, (RECOMPUTED, STALE))
    )


def windowed_tables(name: str) -> str:
    """What came out of the study of the windowed method."""
    if name == "walks":
        return windowed.walks_table(
            read_csv(STUDIES / "random_walk.csv", windowed.Walk)
        )
    runs = read_csv(STUDIES / "windowed.csv", windowed.WindowedRun)
    if name == "errors":
        demo_runs = read_csv(STUDIES / "epoch_demo.csv", Outcome)
        return windowed.errors_table([*runs, *demo_runs])
    if name == "window_steps":
        others = read_csv(STUDIES / "window_steps.csv", windowed.WindowedRun)
        return windowed.window_steps_table([*others, *runs])
    tables = {
        "differences": windowed.differences_table,
        "spacing": windowed.spacing_table,
    }
    return tables[name](runs)


TABLES: dict[str, Callable[[str], str]] = {
    "summary": summary,
    "pairs": lambda name: pairs_table(compared(name)),
    "finals": finals,
    "requirements": requirements,
    "costs": lambda _: costs_table(RESULTS / "benchmark.csv"),
    "anytime": anytime_tables,
    "settings": settings,
    "hard_cases": hard_cases,
    "tuning": lambda _: tuning_table(STUDIES),
    "demo": demo,
    "windowed": windowed_tables,
    "averagings": lambda _: averagings_table(
        read_csv(STUDIES / "batch_stats.csv", Averaging)
    ),
    "convex": lambda _: convex_tables(read_csv(STUDIES / "convex.csv", ConvexRow)),
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


def report() -> None:
    """Makes the tables of the pages and the figures of stops anew."""
    for page in pages():
        text = page.read_text()
        new = filled(text)
        if new != text:
            page.write_text(new)
        print(f"{page.relative_to(ROOT)}: {'changed' if new != text else 'as it was'}")
    draw_figures(read_csv(STUDIES / "anytime.csv", StoppedRun), STUDIES)
