"""Every block of Python on every page runs; the tables are those of the results."""

import csv
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
RESULTS = ROOT / "experiments" / "results"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_runs(page, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def rows_of(page):
    table = re.findall(r"^\| (.*) \|$", (ROOT / "docs" / page).read_text(), re.M)
    return [tuple(cell.strip("` ") for cell in row.split("|")) for row in table]


def results(name):
    with (RESULTS / name).open() as file:
        return list(csv.DictReader(file))


def test_the_sizes_and_errors_are_those_measured():
    found = rows_of("memory.md")
    for row in results("state_size.csv"):
        assert (row["optimizer"], row["bytes_per_parameter"]) in found
    for row in results("state_dtype.csv"):
        del row["epochs"]
        assert tuple(row.values()) in found
