"""Studies plan the runs that they say, and their tables are those of the runs."""

import json
import math
import re
from pathlib import Path

import pytest

from experiments.__main__ import main
from experiments.errors import UserError
from experiments.report.anytime import StoppedRun
from experiments.report.comparison import ComparedRun, summary_table
from experiments.report.csv_file import read_csv, write_csv
from experiments.report.held_out import HeldOutRun, tuned_rate
from experiments.schedules import SCHEDULES
from experiments.studies import anytime
from experiments.studies.autodrop_parts import MORE_SEEDS
from experiments.studies.figure7 import best_epoch
from experiments.studies.papers import TABLE_1, UAI_TABLE_2
from experiments.studies.plan import Arm, FinishedRun, PlannedRun, arm, plan
from experiments.studies.registry import STUDIES
from experiments.studies.study import Runs, Study, StudyOptions, planned_runs
from experiments.studies.tables import compared_runs
from experiments.task.config import RunConfig
from experiments.task.presets import PRESETS
from experiments.task.workloads import WORKLOADS

OURS = ("fashion_mnist_mlp", "digits_mlp")


def finished(label, seed, errors):
    rows = [
        {
            "test_error": error,
            "seconds": 0.5,
            "epoch": n,
            "learning_rate": 0.1 if n < 3 else 0.02,
            "num_drops": 0.0,
        }
        for n, error in enumerate(errors, start=1)
    ]
    config = RunConfig("digits_mlp", epochs=len(errors), seed=seed)
    return FinishedRun(PlannedRun(label, config, Path("nowhere")), rows)


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("workload", OURS)
def test_every_study_can_be_asked_of_our_workloads(name, workload, tmp_path):
    arms = STUDIES[name].arms(workload)
    runs = plan(arms, workload, (0, 1), tmp_path)
    lengths = [round(60 * arm.length) for arm in arms for _ in arm.seeds or (0, 1)]
    folders = [run.folder for run in runs]
    assert len(set(folders)) == len(folders)
    for run, length in zip(runs, lengths, strict=True):
        assert (run.config.workload, run.config.epochs) == (workload, length)
        assert run.config.schedule_name in SCHEDULES


def test_studies_share_runs_only_where_they_are_the_same(tmp_path):
    found = {}
    for name, study in STUDIES.items():
        for workload in OURS:
            for run in plan(study.arms(workload), workload, (0,), tmp_path):
                assert found.setdefault(run.folder, run.config) == run.config, name


def test_an_arm_is_a_preset_with_changes():
    label, config, *_ = arm("multistep", "mine", schedule__drop_factor=0.5, seed=3)
    assert label == "mine"
    assert config.schedule.drop_factor == 0.5
    assert (config.schedule_name, config.seed) == ("multistep", 3)
    assert arm("cosine") == Arm("cosine", PRESETS["cosine"].config)
    with pytest.raises(UserError, match="unknown preset 'cosin'"):
        arm("cosin")


def test_the_tuned_rate_is_the_best_on_examples_held_out(tmp_path):
    rows = [
        HeldOutRun("digits_mlp", "multistep", 0.1, 0, 5.0),
        HeldOutRun("digits_mlp", "multistep", 0.1, 1, 7.0),
        HeldOutRun("digits_mlp", "multistep", 0.4, 0, 4.0),
        HeldOutRun("digits_mlp", "multistep", 0.4, 1, 8.0),
        HeldOutRun("digits_mlp", "multistep", 0.2, 0, 1.0),
        HeldOutRun("digits_mlp", "multistep", 0.2, 1, 12.0),
        HeldOutRun("fashion_mnist_mlp", "multistep", 0.2, 1, 0.0),
    ]
    write_csv(tmp_path / "tuning.csv", HeldOutRun._fields, rows)
    # 0.1 and 0.4 are equal: the lower.
    assert tuned_rate("digits_mlp", tmp_path) == 0.1
    assert tuned_rate("other", tmp_path) is None
    options = StudyOptions(("digits_mlp",), seeds=(0,), results=tmp_path)
    arms = [arm("multistep"), arm("multistep", "own", learning_rate=0.3)]
    study = Study("?", ("digits_mlp",), (0, 1), lambda _: arms, lambda *_: None)
    runs = planned_runs(study, options)
    assert [run.config.learning_rate for run in runs] == [0.1, 0.3]


def test_rows_by_hand(tmp_path):
    runs = [
        finished("multistep", 0, [50.0, 12.0, 10.0]),
        finished("multistep", 1, [40.0, 11.0, 12.0]),
        finished("constant", 0, [30.0, 20.0, 15.0]),
        finished("cosine", 0, [11.0, 9.0, 10.0]),
    ]
    rows = compared_runs(runs)  # the error to reach: 11
    assert [row.epochs_to_multistep for row in rows] == [3, 2, 4, 1]
    assert [row.final_error for row in rows] == [10.0, 12.0, 15.0, 10.0]
    assert [row.best_error for row in rows] == [10.0, 11.0, 15.0, 9.0]
    assert [row.area for row in rows] == [72.0, 63.0, 65.0, 30.0]
    assert all(row.seconds == 1.5 for row in rows)
    assert all(row.drop_epochs == "2" for row in rows)
    assert compared_runs(runs[2:]) == []
    assert compared_runs(runs[2:], target=20.0)[0].epochs_to_multistep == 2

    write_csv(tmp_path / "rows.csv", ComparedRun._fields, rows, ".4f")
    assert read_csv(tmp_path / "rows.csv", ComparedRun) == rows
    table = summary_table(rows)
    assert "| `multistep` | 2 | 11.00 ± 1.41 |  | 2.5 |" in table
    assert "| `cosine` | 1 | 10.00 |  | 1 |" in table


def test_the_epoch_of_the_lowest_error_is_the_first():
    rows = [{"test_error": e} for e in (5.0, 3.0, 4.0, 3.0)]
    assert best_epoch(rows) == 2


def test_a_study_from_the_command_line(tmp_path, capsys):
    arguments = ["--workloads", "digits_mlp", "--seeds", "0", "--epochs", "2"]
    folders = ["--out", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    main(["study", "figure6", *arguments, *folders, "--list-only"])
    assert "0/2 epochs" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()

    main(["study", "figure6", *arguments, *folders, "--workers", "1", "--devices", "1"])
    assert "3 of 3 runs are finished" in capsys.readouterr().out
    assert (tmp_path / "results" / "digits_mlp_figure6.png").exists()

    # Others take these runs, and report what there is.
    main(["study", "figure7", *arguments, *folders, "--report-only"])
    out = capsys.readouterr().out
    assert "3 of 3 runs are finished" in out
    assert (tmp_path / "results" / "figure7.png").exists()
    main(["study", "schedules", *arguments, *folders, "--report-only"])
    assert "3 of 8 runs are finished" in capsys.readouterr().out
    path = tmp_path / "results" / "digits_mlp.csv"
    rows = read_csv(path, ComparedRun)
    assert [r.schedule for r in rows] == [
        "multistep",
        "paper_autodrop",
        "scaled_epoch_autodrop",
    ]
    for row in rows:
        for value in row:
            assert not isinstance(value, float) or math.isfinite(value)
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["command"].startswith("python -m experiments")
    assert record["versions"]["jax"]
    main(["study", "table2", *arguments, *folders, "--report-only"])
    assert "1 of 9 runs are finished" in capsys.readouterr().out


def test_the_table_of_the_demo_names_presets(tmp_path, capsys):
    study = STUDIES["demo"]
    (ours, *_) = study.arms("digits_mlp")
    assert ours.config.learning_rate == WORKLOADS["digits_mlp"].learning_rate
    runs = []
    for seed, errors in enumerate([(5.0, 3.0, 4.0), (6.0, 2.0, 2.0)]):
        done = finished(ours.label, seed, errors)
        for row, rate, drops in zip(
            done.rows, (0.1, 0.1, 0.02), (0.0, 1.0, 1.0), strict=True
        ):
            row.update(learning_rate=rate, num_drops=drops)
        runs.append(done)
    study.report(Runs(runs), tmp_path)
    assert (tmp_path / "demo.csv").read_text().splitlines() == [
        "workload,schedule,seed,final_error,best_error,drop_epochs,seconds_per_epoch",
        "digits_mlp,autodrop,0,4.0000,3.0000,2,0.5000",
        "digits_mlp,autodrop,1,2.0000,2.0000,2,0.5000",
    ]
    printed = capsys.readouterr().out
    assert re.search(r"autodrop +2 +3.00 ± 1.41 % +2 \| 2", printed)


def test_the_papers_workloads_are_there():
    assert {*TABLE_1, *UAI_TABLE_2} <= set(WORKLOADS)
    for name in (*TABLE_1, *UAI_TABLE_2):
        arms = STUDIES["table1"].arms(name)
        assert arms[0].label == "multistep"


def anytime_run(name, stops, length, errors, folder):
    config = RunConfig(
        "digits_mlp",
        SCHEDULES[name](),
        epochs=length,
        learning_rate=0.1,
        evaluate_at=stops,
    )
    rows = [
        {
            "epoch": epoch,
            "test_error": errors.get(epoch, math.nan),
            "test_loss": errors.get(epoch, math.nan) / 10,
            "num_drops": float(epoch > 4),
        }
        for epoch in range(1, length + 1)
    ]
    planned = PlannedRun(name, config, folder / f"{name}{length}")
    return FinishedRun(planned, rows)


def test_the_table_of_stops_has_a_line_for_each_and_keeps_what_others_made(tmp_path):
    ours = anytime_run("autodrop", (1, 2, 4, 8), 8, {1: 9, 2: 5, 4: 4, 8: 2}, tmp_path)
    half = anytime_run("linear_decay", (4,), 4, {4: 3}, tmp_path)
    report = STUDIES["anytime"].report
    report(Runs([ours]), tmp_path)
    report(Runs([ours, half]), tmp_path)
    assert (tmp_path / "anytime.csv").read_text().splitlines() == [
        "workload,schedule,learning_rate,seed,horizon,error,loss,drops",
        "digits_mlp,autodrop,0.1,0,0.125,9,0.9,0",
        "digits_mlp,autodrop,0.1,0,0.25,5,0.5,0",
        "digits_mlp,autodrop,0.1,0,0.5,4,0.4,0",
        "digits_mlp,autodrop,0.1,0,1,2,0.2,1",
        "digits_mlp,linear_decay,0.1,0,0.5,3,0.3,0",
    ]
    for name in ("anytime.png", "anytime_rates.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_provenance_names_the_commits_of_the_runs_workload_by_workload(tmp_path):
    runs = [
        anytime_run("linear_decay", (length,), length, {length: 3}, tmp_path)
        for length in (4, 8)
    ]
    for run, commit in zip(runs, ("b", "a"), strict=True):
        run.planned.folder.mkdir()
        text = json.dumps({"commit": commit})
        (run.planned.folder / "environment.json").write_text(text)
    (tmp_path / "anytime.json").write_text('{"diamonds_mlp": {"commit": "c"}}')
    STUDIES["anytime"].report(Runs(runs), tmp_path)
    made = json.loads((tmp_path / "anytime.json").read_text())
    assert {name: record["commit"] for name, record in made.items()} == {
        "diamonds_mlp": "c",
        "digits_mlp": "a, b",
    }


@pytest.mark.parametrize("name", ["anytime", "anytime_rates", "autodrop_parts"])
def test_studies_of_stops_say_which_workloads_they_have(name):
    with pytest.raises(UserError, match=r"'cifar10_resnet18': choose from fashion"):
        STUDIES[name].arms("cifar10_resnet18")


def test_a_table_with_other_columns_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "tuning.csv").write_text("workload,rate\n")
    with pytest.raises(UserError, match=r"workload, rate and not .*delete it"):
        tuned_rate("digits_mlp", tmp_path)


def test_runs_to_a_stop_are_as_long_and_evaluated_there(tmp_path):
    study = STUDIES["anytime"]
    runs = plan(study.arms("digits_mlp"), "digits_mlp", (0,), tmp_path, epochs=64)
    lengths = {
        name: {
            (run.config.epochs, run.config.evaluate_at)
            for run in runs
            if run.config.schedule_name == name
        }
        for name in ("autodrop", "linear_decay")
    }
    assert lengths["autodrop"] == {(64, (8, 16, 32, 64))}
    assert lengths["linear_decay"] == {(16, (16,)), (32, (32,)), (64, (64,))}


@pytest.mark.parametrize("workload", anytime.EPOCHS)
def test_the_tables_of_stops_have_every_run_that_their_rules_ask_for(workload):
    tried = read_csv(anytime.RESULTS / anytime.RATES_TABLE, HeldOutRun)
    stopped = read_csv(anytime.RESULTS / anytime.TABLE, StoppedRun)
    there = {row[:4] for row in (*tried, *stopped)}
    for study in (STUDIES["anytime_rates"], STUDIES["anytime"]):
        for planned in study.arms(workload):
            config, seeds = planned.config, planned.seeds or study.seeds
            run = workload, config.schedule_name, config.learning_rate
            assert there >= {(*run, seed) for seed in seeds}


def test_schedule_frees_grid_goes_on_while_its_best_is_the_highest(tmp_path):
    grid = anytime.RATES["digits_mlp"]

    def rates(errors):
        rows = [
            StoppedRun("digits_mlp", "schedule_free_sgd", rate, 0, 1.0, error, 0.0, 0)
            for rate, error in errors.items()
        ]
        write_csv(tmp_path / "anytime.csv", StoppedRun._fields, rows)
        best = anytime.best_rates("digits_mlp", tmp_path).get("schedule_free_sgd")
        return anytime.rates_of("schedule_free_sgd", "digits_mlp", tmp_path), best

    top = grid[-1]
    falling = {rate: 9.0 - n for n, rate in enumerate(grid)}
    assert rates({top: 1.0}) == (grid, None)
    assert rates(falling) == ((*grid, 2 * top), None)
    assert rates(falling | {2 * top: 5.0}) == ((*grid, 2 * top), top)
    assert rates(falling | {2 * top: 1.0})[0] == (*grid, 2 * top, 4 * top)
    assert anytime.rates_of("autodrop", "digits_mlp", tmp_path) == grid


def test_the_second_look_has_seeds_of_its_own_on_the_workloads_for_choosing():
    study = STUDIES["autodrop_parts"]
    for workload, looks in {"fashion_mnist_mlp": 5, "digits_mlp": 0}.items():
        again = [arm for arm in study.arms(workload) if arm.seeds == MORE_SEEDS]
        assert len(again) == looks
        assert not set(study.seeds) & set(MORE_SEEDS)
