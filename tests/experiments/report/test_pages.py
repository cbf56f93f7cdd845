"""Tables on pages are those of the results."""

import csv
import json
import math
import re

import pytest

from experiments.errors import UserError
from experiments.report import pages
from experiments.report.comparison import (
    ComparedRun,
    finals_table,
    pairs_table,
    summary_table,
)
from experiments.report.csv_file import read_csv, write_csv
from experiments.report.statistics import t_statistic


@pytest.fixture
def rows():
    finals = {"multistep": (10.0, 11.0, 12.0), "cosine": (9.0, 9.5, 11.5)}
    return [
        ComparedRun("digits_mlp", name, seed, error, error, 60.0, 2, 1.0, "abc", "")
        for name, errors in finals.items()
        for seed, error in enumerate(errors)
    ]


@pytest.mark.parametrize(
    "page", pages.pages(), ids=lambda page: page.relative_to(pages.ROOT).as_posix()
)
def test_committed_pages_are_those_of_the_results(page):
    assert pages.filled(page.read_text()) == page.read_text(), (
        "run `python -m experiments report`"
    )


def test_what_stands_between_the_marks_is_made_anew(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "STUDIES", tmp_path)
    write_csv(tmp_path / "x.csv", ComparedRun._fields, rows)
    page = "before\n<!-- table: summary x -->\nold\n<!-- end -->\nafter\n"
    text = pages.filled(page)
    assert text.startswith("before\n<!-- table: summary x -->\n\n| schedule |")
    assert text.endswith("|\n\n<!-- end -->\nafter\n")
    assert "old" not in text
    # -1, -1.5, -0.5: mean -1, sd 0.5, t = -1 / (0.5 / sqrt(3)), not told from 0.
    assert "| `cosine` | 3 | 10.00 ± 1.32 | -1.00 ± 0.50 | 2 |" in text
    assert pages.filled(text) == text


@pytest.mark.parametrize(
    ("mark", "message"),
    [("nothing x", "unknown table 'nothing x'"), ("summary no", "no results for the")],
)
def test_a_mark_without_a_table_is_an_error(mark, message, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "STUDIES", tmp_path)
    with pytest.raises(UserError, match=message):
        pages.filled(f"<!-- table: {mark} -->\n<!-- end -->")


def test_schedules_of_several_tables_stand_together(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "STUDIES", tmp_path)
    write_csv(tmp_path / "x.csv", ComparedRun._fields, rows)
    others = [row._replace(final_error=row.final_error + 9) for row in rows]
    others += [row._replace(schedule="new") for row in rows[3:]]
    write_csv(tmp_path / "y.csv", ComparedRun._fields, others)
    page = pages.filled("<!-- table: summary x y minus cosine -->\n<!-- end -->")
    assert page.split("\n\n")[1].splitlines()[2:] == [
        "| `multistep` | 3 | 11.00 ± 1.00 | +1.00 ± 0.50 | 2 |",
        "| `cosine` | 3 | 10.00 ± 1.32 |  | 2 |",
        "| `new` | 3 | 10.00 ± 1.32 | +0.00 ± 0.00 | 2 |",
    ]


def test_a_difference_beyond_the_limit_is_bold(rows):
    surer = [
        row._replace(final_error=row.final_error - 0.5 * (row.seed == 0))
        if row.schedule == "cosine"
        else row
        for row in rows
    ]
    # -1.5, -1.5, -0.5 still is not; nearly equal ones are.
    assert "**" not in summary_table(surer)
    equal = [r._replace(final_error=8.0 + r.seed + 0.01 * r.seed) for r in rows[3:]]
    assert "| **-1.99 ± 0.01** |" in summary_table([*rows[:3], *equal])


def test_finals_mark_what_the_test_tells_apart(rows):
    near = [r._replace(final_error=8.0 + r.seed + 0.01 * r.seed) for r in rows[3:]]
    far = [r._replace(schedule="far", final_error=r.final_error + 9) for r in near]
    once = [row._replace(schedule="once") for row in near]
    table = finals_table(
        {"a": [*rows[:3], *near, *far], "b": [*rows, *far], "c": [*rows[:3], *once]}
    )
    assert table.splitlines() == [
        "| final test error in % | a | b | c |",
        "| --- | --- | --- | --- |",
        "| `multistep` | 11.00 ± 1.00 | 11.00 ± 1.00 | 11.00 ± 1.00 |",
        "| `cosine` | **9.01 ± 1.01** | 10.00 ± 1.32 |  |",
        "| `far` | *18.01 ± 1.01* | *18.01 ± 1.01* |  |",
    ]


def test_pairs_are_of_the_same_setting():
    def arm(name, finals, drops=""):
        return [
            ComparedRun("digits_mlp", name, seed, x, x, x, 1, 1.0, "abc", drops)
            for seed, x in enumerate(finals)
        ]

    table = pairs_table(
        [
            *arm("multistep", (1.0, 2.0, 3.0)),
            *arm("multistep_rate0.1", (4.0, 5.0, 6.0)),
            # -1, -1.5, -0.5 as above, and its first drops; the other has no partner.
            *arm("scaled_epoch_autodrop_rate0.1", (3.0, 3.5, 5.5), drops="7 9"),
            *arm("scaled_epoch_autodrop_rate0.2", (1.0, 1.0, 1.0)),
        ]
    )
    (line,) = table.splitlines()[2:]
    name = "`scaled_epoch_autodrop_rate0.1`"
    assert line == f"| {name} | 3 | -1.00 ± 0.50 | 7; 7; 7 |"


def test_every_committed_row_is_finite_and_has_its_record():
    paths = sorted(pages.STUDIES.glob("*.csv"))
    assert paths
    for path in paths:
        with path.open(newline="") as file:
            header = tuple(next(csv.reader(file)))
        if header != ComparedRun._fields:
            continue
        assert json.loads(path.with_suffix(".json").read_text())["versions"]["jax"]
        rows = read_csv(path, ComparedRun)
        keys = [(row.schedule, row.seed) for row in rows]
        assert len(set(keys)) == len(keys) > 0
        for row in rows:
            assert all(math.isfinite(x) for x in row if isinstance(x, float))
            assert re.fullmatch("[0-9a-f]+", row.commit)  # not unknown, not dirty
            assert path.stem.startswith(row.workload)


def test_t_without_scatter():
    assert t_statistic([1.0, 1.0]) == math.inf
    assert t_statistic([-1.0, -1.0]) == -math.inf
    assert t_statistic([0.0, 0.0]) == 0.0
