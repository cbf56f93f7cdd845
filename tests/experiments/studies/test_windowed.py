"""The study of windowed AutoDrop: how it counts, and a run of it in small."""

import csv
import math
import re
from pathlib import Path

import pytest

from experiments.report.outcome import Summary
from experiments.report.tables import Result, runs_table
from experiments.studies.windowed import StudyConfig, main, spacing_of, walks
from experiments.studies.windowed_tables import all_tables, differences_table

EXPERIMENTS = Path(__file__).parents[3] / "experiments"


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
        summary = Summary(10.0, 9.0, drops, 1.0)
        return runs_table([Result("w", "s", 0, summary, "nothing")]).splitlines()[-1]

    assert "24 53" in line([24, 53])
    assert "none" in line([])
    assert "58 of them" in line(list(range(3, 61)))


@pytest.mark.slow
def test_the_study_in_small(tmp_path, capsys):
    arguments = f"--workloads digits_mlp --seeds 0 --epochs 1 --out {tmp_path}/runs"
    main(f"{arguments} --results {tmp_path} --parts comparison".split())
    with (tmp_path / "windowed.csv").open() as file:
        rows = {row["schedule"]: row for row in csv.DictReader(file)}
    assert list(rows) == [
        "windowed_autodrop",
        "matched_exponential",
        "exponential",
        "linear_decay",
        "windowed_autodrop_64",
    ]
    # 42 steps are windows of one step: 42 of them, drops from the 13th on.
    drops = int(rows["windowed_autodrop"]["num_drops"])
    assert 1 <= drops <= 3
    assert rows["linear_decay"]["num_drops"] == ""
    for row in rows.values():
        assert 0 < float(row["final_error"]) < 100
        assert float(row["final_rate"]) == pytest.approx(0.1)
    config = (
        tmp_path / "runs" / "digits_mlp-matched_exponential-seed0" / "config.json"
    ).read_text()
    assert f'"num_drops": {drops}' in config
    assert (tmp_path / "windowed.png").stat().st_size > 10_000
    # What is finished is taken as it is.
    before = (tmp_path / "windowed.csv").read_text()
    capsys.readouterr()
    main(f"{arguments} --results {tmp_path} --parts comparison".split())
    assert capsys.readouterr().out.count("which is finished") == 5
    assert (tmp_path / "windowed.csv").read_text() == before


def test_the_defaults_are_the_rules():
    config = StudyConfig()
    assert config.seeds == (0, 1, 2, 3, 4)
    assert config.epochs == 60
    assert set(config.workloads) == {"fashion_mnist_mlp", "digits_mlp"}


def test_the_page_has_the_tables_of_the_runs():
    readme = (EXPERIMENTS / "README.md").read_text()
    for table in all_tables(EXPERIMENTS / "results").split("\n\n"):
        assert table in readme, table


def test_the_page_names_tests_that_there_are():
    page = (EXPERIMENTS.parent / "docs" / "windowed.md").read_text()
    tests = EXPERIMENTS.parent / "tests" / "library" / "test_windowed_trajectories.py"
    defined = re.findall(r"def (test_\w+)", tests.read_text())
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) >= 9
    assert set(named) <= set(defined)


def test_differences_are_taken_seed_by_seed():
    errors = {"windowed_autodrop": (1.0, 2.0, 4.0), "matched_exponential": (2, 4, 5)}
    runs = [
        {
            "workload": "digits_mlp",
            "schedule": schedule,
            "seed": str(seed),
            "final_error": str(error),
        }
        for schedule, values in errors.items()
        for seed, error in enumerate(values)
    ]
    # -1, -2, -1: mean -4/3, sd 1/sqrt(3), t = -4/3 / (1/3).
    assert "| -1.33 ± 0.58 | 3 | -4.00 |" in differences_table(runs)
