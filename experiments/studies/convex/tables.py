"""The results as CSV, and as the tables of the README."""

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from experiments.report.statistics import markdown_table, t_limit
from experiments.studies.convex.runs import OPTIMIZERS
from experiments.studies.convex.schedules import AUTODROPS, LINEAR, REFINED, SCHEDULES
from experiments.studies.convex.study import Row, summarise

START, END = "<!-- tables: start -->", "<!-- tables: end -->"
_TITLES = {"adam": "Adam", "sgd": "SGD"}


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Writes a line for each row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        for row in rows:
            writer.writerow(f"{x:.6g}" if isinstance(x, float) else str(x) for x in row)


def read_csv(path: Path) -> list[Row]:
    """Reads what :func:`write_csv` has written."""
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    read = {str: str, bool: lambda text: text == "True", int: int, float: float}
    return [
        Row(**{k: read[Row.__annotations__[k]](v) for k, v in line.items()})
        for line in lines
    ]


def tables(rows: Sequence[Row]) -> str:
    """All tables, as Markdown."""
    parts = []
    for optimizer in OPTIMIZERS:
        found = [row for row in rows if row.optimizer == optimizer]
        if not found:
            continue
        title = _TITLES[optimizer]
        parts += [
            f"### {title}: normalised loss",
            _normalised(found, optimizer),
            f"### {title}: training error in %",
            _by_data(found, lambda row: f"{row.error:.2f} ± {row.error_se:.2f}"),
            f"### {title}: loss above the minimum, times 1000",
            _by_data(
                found,
                lambda row: (
                    f"{1000 * row.excess_loss:.3g} ± {1000 * row.excess_loss_se:.1g}"
                ),
            ),
            f"### {title}: rates, AutoDrop's drops, where refined schedules peak",
            _details(found),
        ]
    return "\n\n".join(parts)


def replace_tables(text: str, rows: Sequence[Row]) -> str:
    """Returns a README with its tables, between the marks, made anew."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n\n{tables(rows)}\n\n{END}{after}"


def _by_data(rows: Sequence[Row], text: Callable[[Row], str]) -> str:
    names = list(dict.fromkeys(row.data for row in rows))
    cells = {(row.data, row.schedule): text(row) for row in rows}
    return markdown_table(
        ["data", *SCHEDULES],
        ([name, *(cells[name, s] for s in SCHEDULES)] for name in names),
    )


def _normalised(rows: Sequence[Row], optimizer: str) -> str:
    """The ratios, and below them what they come to; the lowest of a line is bold."""
    lowest = {
        name: min(row.ratio for row in rows if row.data == name)
        for name in {row.data for row in rows}
    }

    def text(row: Row) -> str:
        ratio = f"{row.ratio:.2f}"
        if row.ratio == lowest[row.data]:
            ratio = f"**{ratio}**"
        limit = t_limit(row.n)
        return ratio + ("-" if row.t < -limit else "+" if row.t > limit else "")

    summaries = [summarise(rows, optimizer, schedule) for schedule in SCHEDULES]
    others = [schedule != LINEAR for schedule in SCHEDULES]

    def line(name: str, values: Iterable[str]) -> str:
        cells = [v if o else "" for v, o in zip(values, others, strict=True)]
        return f"| {name} | {' | '.join(cells)} |"

    means = " | ".join(f"{x.geometric_mean:.2f}" for x in summaries)
    return "\n".join(
        [
            _by_data(rows, text),
            f"| **geometric mean** | {means} |",
            line("t of the mean logarithm", (f"{x.t:+.1f}" for x in summaries)),
            line("better, worse", (f"{x.better}, {x.worse}" for x in summaries)),
        ]
    )


def _details(rows: Sequence[Row]) -> str:
    def text(row: Row) -> str:
        rate = f"{row.rate:.3g}" + (" (end of the grid)" if row.at_edge else "")
        if row.schedule in AUTODROPS:
            rate += f", {row.drops:.1f} drops"
        if row.schedule == REFINED:
            rate += f", at {100 * row.peak:.0f} %"
        return rate

    return _by_data(rows, text)
