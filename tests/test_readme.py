"""What the README says is so."""

import csv
import re
import statistics
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EXPERIMENTS_README = (ROOT / "experiments" / "README.md").read_text()


def test_the_example_runs_and_drops(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "'epoch': 60.0" in printed
    assert int(re.search(r"'num_drops': (\d+)", printed)[1]) >= 1


@pytest.mark.parametrize("text", [README, EXPERIMENTS_README], ids=["first", "second"])
def test_the_errors_are_those_of_the_runs(text):
    errors = defaultdict(list)
    with (ROOT / "experiments" / "results" / "studies" / "demo.csv").open() as file:
        for row in csv.DictReader(file):
            errors[row["workload"], row["schedule"]].append(float(row["final_error"]))
    assert len(errors) == 8
    for values in errors.values():
        assert len(values) == 5
        mean, deviation = statistics.mean(values), statistics.stdev(values)
        assert f"{mean:.2f} ± {deviation:.2f}" in text


def test_links_within_the_repository_lead_somewhere():
    for page in [ROOT / "README.md", *ROOT.glob("experiments/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), (page, target)
