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


@pytest.mark.parametrize(
    ("text", "quoted"),
    [(README, 3), (EXPERIMENTS_README, 8)],
    ids=["first", "second"],
)
def test_the_errors_are_those_of_the_runs(text, quoted):
    errors = defaultdict(list)
    with (
        ROOT / "experiments" / "results" / "studies" / "epoch_demo.csv"
    ).open() as file:
        for row in csv.DictReader(file):
            errors[row["workload"], row["schedule"]].append(float(row["final_error"]))
    assert {len(values) for values in errors.values()} == {5}
    names = ("demo_autodrop", "multistep", "constant")
    if quoted == 3:
        errors = {name: errors["fashion_mnist_mlp", name] for name in names}
    assert len(errors) == quoted
    for values in errors.values():
        mean, deviation = statistics.mean(values), statistics.stdev(values)
        assert f"{mean:.2f} ± {deviation:.2f}" in text
