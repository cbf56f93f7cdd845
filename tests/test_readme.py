"""What the README says is so."""

import csv
import re
import statistics
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def finals(table):
    """The final errors of each workload and schedule."""
    errors = defaultdict(list)
    with (ROOT / "experiments" / "results" / "studies" / table).open() as file:
        for row in csv.DictReader(file):
            errors[row["workload"], row["schedule"]].append(float(row["final_error"]))
    assert {len(values) for values in errors.values()} == {5}
    return {
        key: f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"
        for key, values in errors.items()
    }


def test_the_example_runs_and_drops(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    assert re.search(r"'num_drops': Array\([1-9]", capsys.readouterr().out)


def test_the_errors_of_the_demo_are_those_of_the_runs():
    found = finals("demo.csv")
    assert len(found) == 6
    for name in ("autodrop", "linear_decay", "multistep"):
        images, digits = (found[x, name] for x in ("fashion_mnist_mlp", "digits_mlp"))
        assert f"| {images} | {digits} |" in README


def test_autodrop_drops_as_often_and_as_soon_as_the_readme_says():
    with (ROOT / "experiments/results/studies/demo.csv").open() as file:
        rows = list(csv.DictReader(file))
    case = "fashion_mnist_mlp", "autodrop"
    runs = [row for row in rows if (row["workload"], row["schedule"]) == case]
    drops = [[*map(int, run["drop_epochs"].split())] for run in runs]
    assert {len(epochs) for epochs in drops} == {2, 3}
    assert max(map(max, drops)) == 4


def test_the_errors_of_the_published_method_are_those_of_the_runs():
    found = finals("epoch_demo.csv")
    for name in ("demo_autodrop", "multistep", "constant"):
        assert found["fashion_mnist_mlp", name] in README
