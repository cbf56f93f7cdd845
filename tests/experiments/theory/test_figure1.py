"""Figure 1: the data, the rules for P1 and P2, and the committed results."""

import math

import numpy as np
import pytest

from experiments.theory.figure1 import (
    Course,
    Level,
    binned,
    courses,
    draw,
    level,
    properties,
)
from experiments.theory.moments import (
    effective_dimension,
    expected_run,
    mean_angle,
    saturation,
)
from experiments.theory.noisy_quadratic import RATES, SPECTRA, unit_noise


@pytest.fixture(scope="module")
def narrow():
    return courses("narrow", steps=300, runs=4)


def test_the_means_of_the_runs_follow_the_expectations(narrow):
    assert [course.rate for course in narrow] == list(RATES)
    for course in narrow:
        # The loss of one iteration scatters by some 8 % from run to run.
        ratio = course.loss / course.expected_loss
        assert np.abs(ratio - 1).max() < 0.3
        assert ratio.mean() == pytest.approx(1, abs=0.02)
        model = unit_noise(SPECTRA["narrow"])
        error = mean_angle(model, course.rate).sd / 2
        z = (course.angle - course.expected_angle)[1:] / error
        assert np.abs(z).max() < 5
        assert abs(z.mean()) < 0.3
        assert 0.7 < z.std() < 1.3
        assert course.levels.mean() == pytest.approx(course.angle[-75:].mean())


def test_bins_hold_every_iteration_once(narrow):
    lines = binned(narrow[0], bins=20)
    covered = [t for x in lines for t in range(x.first_iteration, x.last_iteration + 1)]
    # Not the first iteration: it has no angle.
    assert covered == list(range(2, 301))
    x = lines[-1]
    part = narrow[0].angle[x.first_iteration - 1 : x.last_iteration]
    assert x.angle == pytest.approx(part.mean())


def test_a_curve_for_each_rate_and_a_mark_where_it_saturates(narrow):
    levels = [level(course) for course in narrow]
    figure = draw([x for course in narrow for x in binned(course)], levels)
    assert len(figure.axes) == 2
    assert levels[3].saturation_time == 156  # later than half of the iterations
    assert len(figure.axes[0].lines) == 4 + 3


def synthetic(angle, loss):
    curves = np.asarray(loss, float), np.asarray(angle, float)
    return Course("linear", 0.06, *curves, *curves, np.array([118.0, 119.0]))


def test_saturation_is_counted_from_where_it_lasts():
    limit = saturation(unit_noise(SPECTRA["linear"]), 0.06).angle
    angle = np.full(40, limit)
    angle[0] = np.nan
    angle[[1, 2, 7]] = limit - 2, limit + 0.5, limit - 1.1  # within a degree, then not
    loss = 4020 * np.exp(-np.r_[np.arange(1, 10), np.full(31, 9)] / 3)
    x = level(synthetic(angle, loss))
    assert x.saturation_time == 9  # the eighth is the last outside
    assert x.slowdown == math.inf  # the loss stays where it is
    assert x.loss_at_saturation == pytest.approx(loss[8] / x.limit_loss)
    assert (x.mean_angle, x.runs) == (118.5, 2)
    assert x.sd_angle == pytest.approx(0.5**0.5)


def test_slowing_down_is_counted_over_as_many_iterations():
    limit = saturation(unit_noise(SPECTRA["linear"]), 0.06).angle
    angle = np.r_[np.nan, np.full(4, 60.0), np.full(35, limit)]  # there at the 6th
    loss = 4020 * np.exp(-np.r_[np.arange(1, 7) / 2, 3 + np.arange(1, 35) / 10])
    assert level(synthetic(angle, loss)).slowdown == pytest.approx(5)


def test_an_angle_that_never_arrives_is_not_saturated():
    x = level(synthetic(np.full(40, 60.0), np.linspace(9, 1, 40)))
    assert x.saturation_time == 41
    assert math.isnan(x.slowdown)


GOOD = [
    # As the fields stand: angle, its deviation, runs, limit, bias, time, ...
    Level("linear", 0.06, 99, 118.0, 0, 20, 118.0, 0, 5, 1.1, 9.0, 764.0, 764.0),
    Level("linear", 0.03, 99, 103.0, 0, 20, 103.0, 0, 10, 1.2, 9.0, 261.0, 261.0),
    Level("linear", 0.01, 99, 94.0, 0, 20, 94.0, 0, 28, 1.8, 8.0, 72.0, 72.0),
    Level("linear", 0.001, 99, 90.4, 0, 20, 90.4, 0, 277, 10.0, 3.5, 7.0, 6.7),
]


def verdicts(levels):
    return {x.name: x.holds for x in properties(levels)}


def test_all_properties_can_hold():
    assert all(verdicts(GOOD).values())
    assert list(verdicts(GOOD)) == ["P1", "P2 i", "P2 ii", "P2 iii", "P2 iv"]


@pytest.mark.parametrize(
    ("name", "index", "change"),
    [
        pytest.param("P1", 2, {"slowdown": 1.9}, id="P1-does-not-slow-down"),
        pytest.param("P1", 3, {"slowdown": math.nan}, id="P1-never-saturates"),
        pytest.param("P2 i", 0, {"mean_angle": 121.0}, id="P2i-above-120"),
        pytest.param("P2 i", 1, {"mean_angle": 89.0}, id="P2i-below-90"),
        pytest.param("P2 ii", 2, {"mean_angle": 110.0}, id="P2ii-angle-rises"),
        pytest.param("P2 ii", 3, {"final_loss": 73.0}, id="P2ii-further-off"),
        pytest.param("P2 iii", 2, {"saturation_time": 10}, id="P2iii-no-slower"),
        pytest.param("P2 iv", 3, {"mean_angle": 91.1}, id="P2iv-above"),
        pytest.param("P2 iv", 3, {"mean_angle": 88.9}, id="P2iv-below"),
    ],
)
def test_each_property_can_fail(name, index, change):
    levels = list(GOOD)
    levels[index] = levels[index]._replace(**change)
    assert not verdicts(levels)[name]


def test_committed_levels_are_those_of_the_theory(committed):
    rows = committed("figure1")
    assert [(x["spectrum"], x["rate"]) for x in rows] == [
        (spectrum, rate) for spectrum in SPECTRA for rate in RATES
    ]
    for x in rows:
        model, rate = unit_noise(SPECTRA[x["spectrum"]]), x["rate"]
        limit = saturation(model, rate)
        assert x["limit_angle"] == pytest.approx(limit.angle, rel=1e-5)
        assert x["limit_loss"] == pytest.approx(limit.loss, rel=1e-5)
        size = effective_dimension(model, rate)
        assert x["effective_dimension"] == pytest.approx(size, rel=1e-5)
        if x["spectrum"] != "harmonic":  # where first order will do
            expected = limit.angle + x["bias"]
            error = 3.5 * x["sd_angle"] / 20**0.5
            assert x["mean_angle"] == pytest.approx(expected, abs=error)
    # The time of saturation and the losses, for a spectrum where it is quick.
    row = rows[7]
    run = expected_run(unit_noise(SPECTRA["narrow"]), np.full(400, 0.001))
    time = int(row["saturation_time"])
    assert abs(run.angle[time - 1] - row["limit_angle"]) <= 1
    assert abs(run.angle[time - 2] - row["limit_angle"]) > 1
    ratio = run.loss[time - 1] / row["limit_loss"]
    assert row["loss_at_saturation"] == pytest.approx(ratio, rel=1e-5)


def test_committed_properties_are_those_of_the_levels(committed):
    levels = [Level(**row) for row in committed("figure1")]
    for i, spectrum in enumerate(SPECTRA):
        checks = properties(levels[4 * i : 4 * i + 4])
        rows = [x for x in committed("figure1_properties") if x["spectrum"] == spectrum]
        assert [(x["name"], x["holds"]) for x in rows] == [x[::2] for x in checks]


def test_where_the_properties_fail(committed):
    failures = {
        (x["name"], x["spectrum"])
        for x in committed("figure1_properties")
        if not x["holds"]
    }
    assert failures == {
        ("P2 i", "narrow"),
        ("P1", "harmonic"),
        ("P2 ii", "harmonic"),
        ("P2 iv", "harmonic"),
    }
