"""Figure 3: AutoDrop's drops replayed, its controls, and the committed results."""

import numpy as np
import pytest

from experiments.theory.figure3 import (
    FIRST_TEST,
    FLOORS,
    RATES,
    STEPS,
    Chance,
    Outcome,
    chance_firings,
    clock,
    coin,
    compare,
    draw,
    outcome,
    run_autodrop,
    waits,
)
from experiments.theory.moments import expected_run
from experiments.theory.noisy_quadratic import SPECTRA, Trajectory, unit_noise

MODEL = unit_noise(SPECTRA["linear"])


@pytest.fixture(scope="module")
def runs():
    return run_autodrop(FLOORS[0], seeds=6, steps=600)


def test_drops_come_where_the_mean_of_20_angles_stands_still(runs):
    w = np.asarray(runs.angular_velocity)
    for angles, drops, rates in zip(w, runs.num_drops, runs.learning_rate, strict=True):
        # Means of 20, as the paper says it; NaN in the first iteration.
        means = np.convolve(angles[1:], np.ones(20) / 20, mode="valid")
        fires = np.zeros(600, bool)
        fires[21:] = np.abs(np.diff(means)) < 0.01
        np.testing.assert_array_equal(np.diff(drops, prepend=0) > 0, fires)
        before = np.cumsum(fires) - fires
        expected = np.maximum(0.001, 0.06 * 0.5**before)
        np.testing.assert_allclose(rates, expected, rtol=1e-5)
        assert not fires[: FIRST_TEST - 1].any()
    assert runs.num_drops[:, -1].mean() > 5


def test_the_first_test_is_possible():
    # A test that is always passed fires at once: threshold and chance do not matter.
    heads = coin(1.0, 0.0, seeds=1, steps=40)[0]
    assert FIRST_TEST == 22
    np.testing.assert_allclose(heads[: FIRST_TEST + 2], [0.06] * 22 + [0.03, 0.015])


def test_clock():
    rates = clock(80, 0.001, 600)
    assert list(rates[[0, 79, 80, 159, 160]]) == [0.06, 0.06, 0.03, 0.03, 0.015]
    assert rates[-1] == 0.001
    assert clock(80, 0.0, 600)[-1] == 0.06 / 2**7


def test_coin_falls_as_often_as_asked():
    rates = coin(0.02, 0.0, seeds=300, steps=1000)
    halvings = np.log2(0.06 / rates[:, -1])
    assert halvings.mean() == pytest.approx(0.02 * (1000 - FIRST_TEST), rel=0.03)
    assert len(np.unique(rates[:, -1])) > 5


@pytest.mark.slow
def test_chance_firings_at_two_independent_angles():
    chances = chance_firings(seeds=8, burn_in=400, steps=400)
    assert [c.learning_rate for c in chances] == list(RATES)
    # Some 470 firings in all.
    mean = np.mean([c.firing_rate for c in chances])
    assert mean == pytest.approx(np.mean([c.predicted for c in chances]), rel=0.2)
    # Against the angles of one rate, sampled from their law.
    a, rate = MODEL.curvatures, 0.03
    v, rho = a**2 / (2 - rate * a), -rate * a / 2
    rng = np.random.default_rng(0)
    p = rng.standard_normal((20_000, 200))
    q = rho * p + np.sqrt(1 - rho**2) * rng.standard_normal(p.shape)
    angles = np.degrees(np.arccos((p * q) @ v / np.sqrt(p**2 @ v * (q**2 @ v))))
    assert chances[1].sd_angle == pytest.approx(angles.std(), rel=0.02)
    share = np.mean(np.abs(angles[:, None] - angles[:500]) < 0.2)
    assert chances[1].predicted == pytest.approx(share, rel=0.05)


def test_waits_are_counted_from_drop_to_drop():
    num_drops = np.zeros((2, 100))
    num_drops[0, 29:] = 1  # at the 30th iteration
    num_drops[0, 39:] = 2
    num_drops[1, 49:] = 1
    run = Trajectory(num_drops, num_drops, num_drops, num_drops)
    chance = [Chance(rate, 100, 5, 0.02, 0.001, 0.02) for rate in RATES[:3]]
    first, second, third = waits(run, chance)
    assert (first.mean_wait, first.runs, first.within_window) == (40, 2, 0)
    assert first.sd_wait == pytest.approx(200**0.5)
    assert (second.mean_wait, second.runs, second.within_window) == (10, 1, 1)
    assert third.runs == 0
    assert (first.chance_wait, second.chance_wait) == (71, 50)


def test_outcome():
    losses = np.array([np.arange(1, 17), np.arange(3, 19)], float)
    x = outcome(0.0, "name", "exact", losses)
    assert x[4:8] == (3, 5, 9, 17)
    assert x.sd == pytest.approx(2**0.5)
    assert x.half_width == pytest.approx(12.706, rel=1e-3)
    assert np.isnan(outcome(0.0, "name", "exact", losses[0]).sd)


def test_controls_and_drawing(runs):
    result = compare(FLOORS[0], runs, 0.02, 50)
    lines = {x.method: x for x in result.outcomes}
    own, fresh = lines["AutoDrop"], lines["same rates, fresh noise"]
    (allowed,) = (name for name in lines if "allowed" in name)
    difference = lines["AutoDrop - fresh noise"]
    assert difference.final_loss == pytest.approx(own.final_loss - fresh.final_loss)
    assert difference.runs == own.runs == 6
    expected = expected_run(MODEL, np.asarray(runs.learning_rate)).loss[:, -1].mean()
    assert fresh.final_loss == pytest.approx(expected)
    expected = expected_run(MODEL, clock(80, 0.001, 600)).loss[-1]
    assert lines["clock, 80"].final_loss == pytest.approx(expected)
    assert result.final_losses.min() <= expected
    assert result.best_constant <= lines[allowed].final_loss
    chance = [Chance(rate, 100, 5, 0.02, 0.001, 0.02) for rate in RATES[:3]]
    figure = draw([result, result], runs, waits(runs, chance))
    assert len(figure.axes) == 4


@pytest.fixture
def outcomes(committed):
    return {
        (row["floor"], str(row["method"]).split(",")[0]): Outcome(**row)
        for row in committed("figure3")
        if not str(row["method"]).startswith("clock")
    }


def test_committed_exact_losses(committed):
    rows = committed("figure3")
    assert len(rows) == 20
    for row in rows:
        if str(row["method"]).startswith("clock"):
            period = int(str(row["method"]).split()[1])
            loss = expected_run(MODEL, clock(period, row["floor"])).loss[-1]
            assert row["final_loss"] == pytest.approx(loss, rel=1e-5)
        if "constant allowed" in str(row["method"]):
            loss = expected_run(MODEL, np.full(STEPS, 0.001)).loss[-1]
            assert row["final_loss"] == pytest.approx(loss, rel=1e-5)


def test_committed_autodrop_beats_the_constant_rates_it_may_use_and_no_others(outcomes):
    own = outcomes[0.001, "AutoDrop"]
    allowed = outcomes[0.001, "best constant allowed"]
    best = outcomes[0.001, "best constant"]
    assert own.final_loss + own.half_width < allowed.final_loss
    assert own.final_loss - own.half_width > best.final_loss


@pytest.mark.parametrize("floor", FLOORS)
def test_committed_signal_adds_nothing_measurable(outcomes, floor):
    difference = outcomes[floor, "AutoDrop - fresh noise"]
    assert abs(difference.final_loss) < difference.half_width
    own, by_chance = outcomes[floor, "AutoDrop"], outcomes[floor, "coin"]
    gap = abs(own.final_loss - by_chance.final_loss)
    assert gap < np.hypot(own.half_width, by_chance.half_width)


def test_committed_clock_is_better_without_a_floor(committed, outcomes):
    own = outcomes[0.0, "AutoDrop"]
    clocks = [
        x["final_loss"]
        for x in committed("figure3")
        if x["floor"] == 0 and str(x["method"]).startswith("clock")
    ]
    assert len(clocks) == 3  # that of AutoDrop's own mean wait among them
    assert max(clocks) < own.final_loss - 5 * own.half_width


def test_committed_waits_become_those_of_chance(committed):
    rows = committed("figure3_waits")
    for row in rows:
        predicted, measured = row["predicted_firing_rate"], row["firing_rate"]
        assert abs(measured - predicted) < 2 * row["firing_half_width"]
    z = [
        (row["mean_wait"] - row["chance_wait"]) / (row["sd_wait"] / row["runs"] ** 0.5)
        for row in rows
    ]
    # The first wait is that of the window; the second knows of a reset of 13 degrees.
    assert abs(z[0]) < 2.5
    assert z[1] > 8
    assert z[2] > 2
    assert np.abs(z[4:]).max() < 2.5
