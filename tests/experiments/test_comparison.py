"""Error against what you had to know: who stands where."""

import pytest

from experiments.rivals.rules import LEVELS, RULES, Rule
from experiments.schedules import SCHEDULES
from experiments.studies import STUDIES
from experiments.studies.needs import draw
from experiments.studies.rows import EvidenceRow


def rows(name, *errors):
    return [
        EvidenceRow("digits_mlp", name, seed, error, error, error, 1, 1.0, "none", "")
        for seed, error in enumerate(errors)
    ]


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_has_a_level(name):
    assert RULES[name].level in LEVELS


def test_levels_by_hand():
    assert Rule().level == "nothing"
    assert RULES["autodrop"].level == "a rate"
    assert RULES["scaled_autodrop"].level == "a rate, the total steps"
    assert RULES["plateau"].level == "a rate, a validation set"
    assert "first run" in RULES["refined"].level


@pytest.mark.parametrize("workload", STUDIES["comparison"].workloads)
def test_every_rival_is_compared(workload):
    arms = STUDIES["comparison"].arms(workload)
    found = {config.schedule for _, config, _ in arms}
    needed = {name for name, rule in RULES.items() if not rule.total_steps}
    if workload == "pydoc_transformer":
        needed.remove("schedule_free_sgd")
    assert found >= needed
    assert len({label for label, _, _ in arms}) == len(arms)


def test_the_figure_has_every_schedule_at_its_level():
    found = [
        *rows("multistep", 10.0, 11.0),
        *rows("constant", 13.0, 12.0),
        *rows("prodigy", 90.0, 91.0),
        *rows("mine", 10.2, 10.4),
    ]
    schedules = {name: name for name in ("multistep", "constant", "prodigy")}
    figure = draw(found, {**schedules, "mine": "refined"}, "digits_mlp")
    labels = [
        [tick.get_text() for tick in panel.get_yticklabels()] for panel in figure.axes
    ]
    assert labels == [["prodigy"], ["constant"], ["multistep"], ["mine"]]
    assert [panel.get_title(loc="left") for panel in figure.axes] == [
        level for level in LEVELS if "validation" not in level
    ]
    first, second, *_ = figure.axes
    # Too far off for a dot: its number stands at the edge.
    assert [text.get_text() for text in first.texts] == ["90.5 →"]
    assert not first.containers
    (bar,) = second.containers
    assert bar.lines[0].get_xdata() == pytest.approx([12.5])
