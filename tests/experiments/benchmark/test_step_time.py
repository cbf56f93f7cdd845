"""What a step costs: every schedule is timed, over the same steps."""

import csv
import json

import pytest

from experiments.benchmark import step_time
from experiments.benchmark.step_time import (
    AGAIN,
    BASE,
    StepTimeConfig,
    main,
    measure,
    side,
)
from experiments.schedules import SCHEDULES


def test_the_sides_train(digits, tmp_path):
    config = StepTimeConfig("digits_mlp", steps=2)
    run = side("multistep", digits, config, tmp_path)
    (first,) = run()
    before = [x.copy() for x in first.params["layers"][0].values()]
    (second,) = run()
    after = second.params["layers"][0].values()
    assert any((x != y).any() for x, y in zip(before, after, strict=True))


def test_ratios_are_to_constant(monkeypatch):
    monkeypatch.setattr(step_time, "side", lambda name, *_: name)
    monkeypatch.setattr(
        step_time, "SCHEDULES", {name: SCHEDULES[name] for name in (BASE, "dog")}
    )
    seen = {}

    def compare(sides, repeats):
        seen.update(sides, repeats=repeats)
        return {BASE: 0.5, "dog": 1.0, AGAIN: 0.75}

    monkeypatch.setattr(step_time, "compare", compare)
    rows = measure(StepTimeConfig("digits_mlp", steps=10, repeats=3))
    assert rows == [(BASE, 50.0, 1.0), ("dog", 100.0, 2.0), (AGAIN, 75.0, 1.5)]
    assert seen == {BASE: BASE, "dog": "dog", AGAIN: AGAIN, "repeats": 3}


@pytest.mark.slow
def test_the_table_has_every_schedule(tmp_path, monkeypatch):
    monkeypatch.setattr(step_time.os, "sched_setaffinity", lambda *_: None)
    main(StepTimeConfig("digits_mlp", steps=2, repeats=1, out=tmp_path))
    path = tmp_path / "digits_mlp_step_time.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["schedule"] for row in rows] == [*SCHEDULES, AGAIN]
    assert all(float(row["milliseconds"]) > 0 for row in rows)
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["command"].startswith("python -m experiments.benchmark.step_time")
