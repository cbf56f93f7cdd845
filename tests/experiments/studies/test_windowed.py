"""The studies of windowed AutoDrop: how they count, and a run of one in small."""

import json
import math
import re
from pathlib import Path

import pytest

from experiments.__main__ import main
from experiments.report.csv_file import read_csv
from experiments.report.outcome import Outcome, runs_table
from experiments.report.windowed import WindowedRun, differences_table
from experiments.run.metrics import read_metrics
from experiments.schedules.matched_exponential import MatchedExponential
from experiments.studies.random_walk import walks
from experiments.studies.windowed import spacing_of
from experiments.task.config import RunConfig
from tests.experiments.rates import rates_of

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("window", "since", "drops", "spacing", "share"),
    [
        # Angles come from window 3 on, drops from the 11th angle of a phase on.
        pytest.param(13, 0, 1, 11, 1, id="at-the-floor"),
        pytest.param(24, 0, 2, 11, 1, id="at-the-floor-twice"),
        pytest.param(20, 7, 1, 11, 1, id="buffer-filling-again"),
        pytest.param(25, 12, 1, 11, 1 / 3, id="two-refused-since"),
        pytest.param(16, 0, 1, 14, 1 / 4, id="three-refused-before"),
        pytest.param(12, 12, 0, math.nan, math.nan, id="no-occasion"),
        pytest.param(20, 20, 0, math.nan, 0, id="all-refused"),
    ],
)
def test_spacing_and_share(window, since, drops, spacing, share):
    assert spacing_of(window, since, drops) == pytest.approx(
        (spacing, share), nan_ok=True
    )


def test_without_signal_it_is_a_clock():
    found = {walk[:4]: walk for walk in walks(1000, seed=0, windows=200)}
    assert len(found) == 8
    for inputs in ("random walk", "white noise"):
        # One-sided, half of all occasions or more, soon after the floor.
        walk = found[inputs, 1000, "time", False]
        assert 11 <= walk.spacing < 13
        assert walk.share > 0.45
        # Two-sided, only where two angles come close by chance.
        assert found[inputs, 1000, "time", True].share < 0.3


def test_many_drops_are_counted_and_not_listed():
    def line(drops):
        drop_epochs = " ".join(map(str, drops))
        run = Outcome("w", "s", 0, 10.0, 9.0, drop_epochs, 1.0)
        return runs_table([run], {"s": "nothing"}).splitlines()[-1]

    assert "24 53" in line([24, 53])
    assert "none" in line([])
    assert "58 of them" in line(list(range(3, 61)))


def test_a_staircase_has_as_many_drops_as_the_run_it_is_beside(digits, tmp_path):
    row = {"epoch": 4, "num_drops": 3.0}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    schedule = MatchedExponential(first_run=str(tmp_path), drop_factor=0.5)
    config = RunConfig("digits_mlp", schedule, epochs=4)
    # 4 epochs of 42 steps: a drop after every 42, at the start of each epoch.
    expected = [0.1, 0.05, 0.025, 0.0125]
    assert rates_of(digits, config) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_the_study_in_small(tmp_path, capsys):
    options = "--workloads digits_mlp --seeds 0 --epochs 1 --workers 1 --devices 1"
    folders = f"--out {tmp_path}/runs --results {tmp_path}/results"
    main(["study", "windowed", *options.split(), *folders.split()])
    path = tmp_path / "results" / "windowed.csv"
    runs = {run.schedule: run for run in read_csv(path, WindowedRun)}
    assert list(runs) == [
        "windowed_autodrop",
        "matched_exponential",
        "exponential",
        "linear_decay",
        "windowed_autodrop_64",
    ]
    # 42 steps are windows of one step: 42 of them, drops from the 13th on.
    drops = runs["windowed_autodrop"].num_drops
    assert 1 <= drops <= 3
    assert runs["windowed_autodrop"].window_steps == 1
    assert math.isnan(runs["linear_decay"].num_drops)
    for run in runs.values():
        assert 0 < run.final_error < 100
        assert run.final_rate == pytest.approx(0.1)
    assert (tmp_path / "results" / "windowed.png").stat().st_size > 10_000
    # What is finished is taken as it is.
    before = path.read_text()
    capsys.readouterr()
    main(["study", "windowed", *options.split(), *folders.split()])
    assert "5 of 5 runs are finished" in capsys.readouterr().out
    assert path.read_text() == before
    folder = tmp_path / "runs" / "digits_mlp-windowed_autodrop_at_own_rate-seed0"
    assert read_metrics(folder)[-1]["num_drops"] == drops


def test_the_page_names_tests_that_there_are():
    page = (ROOT / "docs" / "windowed.md").read_text()
    tests = ROOT / "tests" / "library" / "test_windowed_trajectories.py"
    defined = re.findall(r"def (test_\w+)", tests.read_text())
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) >= 9
    assert set(named) <= set(defined)


def test_differences_are_taken_seed_by_seed():
    errors = {"windowed_autodrop": (1.0, 2.0, 4.0), "matched_exponential": (2, 4, 5)}
    runs = [
        WindowedRun("digits_mlp", schedule, seed, 2.0, error, *[0.0] * 4)
        for schedule, values in errors.items()
        for seed, error in enumerate(values)
    ]
    # -1, -2, -1: mean -4/3, sd 1/sqrt(3), t = -4 against a limit of 4.3.
    assert "spaced |  | -1.33 ± 0.58 |" in differences_table(runs)
