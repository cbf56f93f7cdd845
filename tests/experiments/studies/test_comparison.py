"""The comparison: error against what schedules must be told, and refinement."""

import numpy as np
import pytest

from experiments.report import figures
from experiments.report.comparison import ComparedRun
from experiments.report.csv_file import write_csv
from experiments.report.requirements import requirements_figure
from experiments.run.gradient_norms import write_gradient_norms
from experiments.schedules import SCHEDULES
from experiments.schedules.schedule import LEVELS, Requirements
from experiments.studies.comparison import RIVALS
from experiments.studies.plan import FinishedRun, PlannedRun
from experiments.studies.registry import STUDIES
from experiments.studies.study import Runs
from experiments.task.config import RunConfig


def rows(name, *errors):
    return [
        ComparedRun("digits_mlp", name, seed, error, error, error, 1, 1.0, "none", "")
        for seed, error in enumerate(errors)
    ]


def labels(panels):
    return [[tick.get_text() for tick in p.get_yticklabels()] for p in panels]


@pytest.fixture
def drawn(monkeypatch):
    """What is saved: figures and their paths."""
    found = []
    monkeypatch.setattr(figures, "save", lambda *drawing: found.append(drawing))
    return found


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_has_a_level(name):
    assert SCHEDULES[name].requires.level in LEVELS


def test_levels_by_hand():
    def level(name):
        return SCHEDULES[name].requires.level

    assert Requirements().level == "nothing"
    assert level("epoch_autodrop") == "a rate"
    assert level("scaled_epoch_autodrop") == "a rate, the total steps"
    assert level("plateau") == "a rate, a validation set"
    assert "first run" in level("refined")


@pytest.mark.parametrize("workload", STUDIES["comparison"].workloads)
def test_every_rival_is_compared(workload):
    arms = STUDIES["comparison"].arms(workload)
    found = {arm.config.schedule_name for arm in arms}
    assert found >= {*RIVALS, "schedule_free_adamw", "epoch_autodrop", "plateau"}
    assert len({arm.label for arm in arms}) == len(arms)


def test_the_figure_has_every_schedule_at_its_level():
    found = {
        "multistep": [10.0, 11.0],
        "constant": [13.0, 12.0],
        "prodigy": [90.0, 91.0],
        "mine": [10.2, 10.4],
    }
    schedules = {name: name for name in ("multistep", "constant", "prodigy")}
    figure = requirements_figure(
        {"digits_mlp": found}, {**schedules, "mine": "refined"}, "multistep"
    )
    assert labels(figure.axes) == [["prodigy"], ["constant"], ["multistep"], ["mine"]]
    assert [panel.get_title(loc="left") for panel in figure.axes] == [
        level for level in LEVELS if "validation" not in level
    ]
    first, second, *_ = figure.axes
    # Too far off for a dot: its number stands at the edge.
    assert [text.get_text() for text in first.texts] == ["90.5 →"]
    assert not first.containers
    (bar,) = second.containers
    assert bar.lines[0].get_xdata() == pytest.approx([12.5])


def test_the_figure_has_a_column_for_each_workload():
    one = {"multistep": [10.0], "cosine": [12.0], "linear_decay": [9.0]}
    # Here twice as good as there, so that it is the best over both.
    other = {"multistep": [40.0], "cosine": [20.0]}
    tables = {"digits_mlp": one, "pydoc_transformer": other}
    names = ["multistep", "linear_decay", "cosine"]
    figure = requirements_figure(tables, {name: name for name in names}, "multistep")
    left, right = figure.axes
    assert labels([left]) == [names]
    dots = {
        panel: {
            names[round(float(y))]: float(x)
            for bar in panel.containers
            for x, y in [bar.lines[0].get_xydata()[0]]
        }
        for panel in (left, right)
    }
    assert dots[left] == {"multistep": 10.0, "cosine": 12.0, "linear_decay": 9.0}
    assert dots[right] == {"multistep": 40.0, "cosine": 20.0}


def test_the_report_draws_the_tables_of_its_arms(tmp_path, drawn):
    def write(workload, runs):
        path = tmp_path / f"{workload}_comparison.csv"
        write_csv(path, ComparedRun._fields, runs)

    write("fashion_mnist_mlp", rows("multistep", 10.0))
    # Of another day's study, which had an arm that this one has not.
    stale = [*rows("multistep", 10.0), *rows("nobody", 10.0)]
    write("pydoc_transformer", stale)
    STUDIES["comparison"].report(Runs([]), tmp_path)
    ((figure, path),) = drawn
    assert path == tmp_path / "comparison_needs.png"
    assert labels(figure.axes) == [["multistep"]]


def test_the_report_draws_what_was_recorded_and_what_was_made_of_it(tmp_path, drawn):
    def finished(preset, seed, rates, first=None):
        config = RunConfig("digits_mlp", epochs=2, seed=seed, learning_rate=0.2)
        lines = [
            {"learning_rate": rate, "test_error": 3.0, "seconds": 1.0} for rate in rates
        ]
        planned = PlannedRun(preset, config, tmp_path / preset, first)
        return FinishedRun(planned, lines)

    first = finished("linear_decay_recorded", 1000, []).planned
    first.folder.mkdir()
    write_gradient_norms(first.folder, np.array([4.0, 2.0, 1.0]))
    done = [
        finished("linear_decay", 0, [0.2, 0.1]),
        finished("refined", 0, [0.1, 0.15], first),
        finished("refined", 1, [0.12, 0.16], first),
    ]
    STUDIES["refinement"].report(Runs(done), tmp_path)
    ((figure, path),) = drawn
    assert path == tmp_path / "digits_mlp_refinement.png"
    recorded, made = (
        [line.get_xydata().tolist() for line in panel.lines] for panel in figure.axes
    )
    assert recorded == [[[0, 4], [1, 2], [2, 1]]]
    decay = [[0, 0.2], [2, 0]]
    assert made == [[[0, 0.1], [1, 0.15]], [[0, 0.12], [1, 0.16]], decay]
