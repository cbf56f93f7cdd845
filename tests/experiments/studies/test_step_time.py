"""What a step costs: every schedule is timed, over the same steps."""

import json

import pytest

from experiments.__main__ import main
from experiments.report.csv_file import read_csv
from experiments.report.requirements import AGAIN, BASE, StepTime
from experiments.schedules import SCHEDULES
from experiments.studies import step_time
from experiments.studies.step_time import measure, side


def test_the_sides_train(digits, tmp_path):
    run = side("multistep", "digits_mlp", digits, 2, tmp_path)
    (first,) = run()
    before = [x.copy() for x in first.params["layers"][0].values()]
    (second,) = run()
    after = second.params["layers"][0].values()
    assert any((x != y).any() for x, y in zip(before, after, strict=True))


def test_ratios_are_to_constant(monkeypatch, digits):
    monkeypatch.setattr(step_time, "side", lambda name, *_: name)
    few = {name: SCHEDULES[name] for name in (BASE, "dog")}
    monkeypatch.setattr(step_time, "SCHEDULES", few)
    seen = {}

    def compare(sides, repeats):
        seen.update(sides, repeats=repeats)
        return {BASE: 0.5, "dog": 1.0, AGAIN: 0.75}

    monkeypatch.setattr(step_time, "compare", compare)
    rows = measure("digits_mlp", digits, steps=10, repeats=3)
    assert rows == [(BASE, 50.0, 1.0), ("dog", 100.0, 2.0), (AGAIN, 75.0, 1.5)]
    assert seen == {BASE: BASE, "dog": "dog", AGAIN: AGAIN, "repeats": 3}


@pytest.mark.slow
def test_the_table_has_every_schedule(tmp_path, monkeypatch):
    monkeypatch.setattr(step_time.os, "sched_setaffinity", lambda *_: None)
    options = f"--workload digits_mlp --steps 2 --repeats 1 --results {tmp_path}"
    main(["study", "step_time", *options.split()])
    path = tmp_path / "digits_mlp_step_time.csv"
    rows = read_csv(path, StepTime)
    assert [row.schedule for row in rows] == [*SCHEDULES, AGAIN]
    assert all(row.milliseconds > 0 for row in rows)
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["command"].startswith("python -m experiments")
