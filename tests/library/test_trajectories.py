"""Trajectories made by hand, whose angles and drops are known beforehand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import Algorithm1, logged

from autodrop_optax import (
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
    with_epoch_autodrop,
)


class Walk:
    """Parameters put by hand where an epoch is to end."""

    def __init__(self, x, **keywords):
        self.x = jnp.asarray(x, jnp.float32)
        self.optimizer = epoch_autodrop(**{"learning_rate": 1.0} | keywords)
        self.state = self.optimizer.init(self.x)

    def end_at(self, x):
        self.x, self.state = end_epoch(jnp.asarray(x, jnp.float32), self.state)
        return autodrop_metrics(self.state)

    def step(self, s):
        return self.end_at(self.x + jnp.asarray(s, jnp.float32))

    def turn_by(self, *degrees):
        """Unit steps in a plane, each turned by so many degrees; the metrics."""
        metrics, heading = [], getattr(self, "heading", 0.0)
        for turn in degrees:
            heading += np.radians(turn)
            metrics.append(self.step([np.cos(heading), np.sin(heading)]))
        self.heading = heading
        return metrics


def values(metrics, name):
    return [float(m[name]) for m in metrics]


def test_angles_of_a_known_path():
    metrics = Walk([0, 0]).turn_by(0, 90, 30, 150, 0.5)
    np.testing.assert_allclose(
        values(metrics, "angular_velocity"), [np.inf, 90, 30, 150, 0.5], atol=1e-3
    )
    np.testing.assert_allclose(
        values(metrics, "angular_velocity_change"),
        [np.inf, np.inf, -60, 120, -149.5],
        atol=2e-3,
    )
    np.testing.assert_allclose(values(metrics, "step_norm"), np.ones(5), rtol=1e-6)


def test_the_drop_comes_when_the_delay_is_over():
    # Angles 40, 50, 50.05: the trigger is in epoch 4; n_d = 3 puts the drop at the
    # end of epoch 6. The next angles are far apart and trigger nothing.
    walk = Walk([0, 0], threshold=0.1, drop_delay=3, drop_factor=0.5)
    metrics = walk.turn_by(0, 40, 50, 50.05, 80, 10, 90)
    assert values(metrics, "delay_count") == [0, 0, 0, 1, 2, 0, 0]
    assert values(metrics, "num_drops") == [0, 0, 0, 0, 0, 1, 1]
    assert values(metrics, "epochs_since_drop") == [1, 2, 3, 4, 5, 0, 1]
    assert values(metrics, "averaged") == [0, 0, 0, 0, 0, 1, 0]
    np.testing.assert_allclose(
        values(metrics, "learning_rate"), [1, 1, 1, 1, 1, 0.5, 0.5]
    )
    np.testing.assert_allclose(
        values(metrics, "threshold"), [0.1] * 5 + [0.2, 0.2], rtol=1e-6
    )


def test_no_decision_before_the_second_angle():
    # Equal angles from the start: |w_t - w_{t-1}| exists from epoch 3 on, no earlier.
    walk = Walk([0, 0], threshold=1.0, drop_delay=1, averaging=False)
    metrics = walk.turn_by(60, 60, 60)
    assert values(metrics, "num_drops") == [0, 0, 1]


@pytest.mark.parametrize("window", [1, 2, 5])
def test_a_window_decides_from_epoch_n_plus_2_on(window):
    walk = Walk([0, 0], threshold=1.0, drop_delay=1, averaging=False, window=window)
    metrics = walk.turn_by(*[60] * (window + 2))
    assert values(metrics, "num_drops") == [0] * (window + 1) + [1]


def test_the_change_over_a_window():
    # Means of three angles: (10 + 20 + 60)/3 = 30, then (20 + 60 + 70)/3 = 50.
    metrics = Walk([0, 0], window=3).turn_by(0, 10, 20, 60, 70)
    assert float(metrics[-1]["angular_velocity_change"]) == pytest.approx(20, abs=1e-3)


def test_the_weighted_average_by_hand():
    # Delay over the ends 3, 6, 12: (1*3 + 2*6 + 3*12) / 6 = 8.5. Steps 1, 1, 1 along
    # a line: both angles are 0, so epoch 3 triggers and is the first of the average.
    walk = Walk([0.0], threshold=0.1, drop_delay=3)
    for end in (1, 2, 3, 6):
        walk.end_at([end])
    metrics = walk.end_at([12])
    assert float(walk.x[0]) == pytest.approx(8.5, rel=1e-6)
    assert bool(metrics["averaged"])


def test_the_step_after_an_averaging():
    def next_step_norm(anchor):
        walk = Walk([0.0], threshold=0.1, drop_delay=3, anchor=anchor)
        for end in (1, 2, 3, 6, 12):
            walk.end_at([end])
        return float(walk.end_at([9])["step_norm"])

    # The average is 8.5, the end of the epoch before it was 12.
    assert next_step_norm("after_averaging") == pytest.approx(0.5, rel=1e-5)
    assert next_step_norm("before_averaging") == pytest.approx(3.0, rel=1e-5)


def straight_line(**keywords):
    walk = Walk([0.0], threshold=1.0, drop_delay=1, averaging=False, **keywords)
    return [walk.step([1.0]) for _ in range(8)]


def test_the_floor():
    rates = values(
        straight_line(drop_factor=0.1, min_learning_rate=0.03), "learning_rate"
    )
    np.testing.assert_allclose(
        rates, [1, 1, 0.1, 0.03, 0.03, 0.03, 0.03, 0.03], rtol=1e-6
    )
    drops = values(straight_line(drop_factor=0.1, min_learning_rate=0.03), "num_drops")
    assert drops == [0, 0, 1, 2, 3, 4, 5, 6]  # counted at the floor too


def test_a_rate_below_the_floor_stays():
    metrics = straight_line(learning_rate=1e-5, min_learning_rate=jnp.float32(1e-4))
    np.testing.assert_allclose(values(metrics, "learning_rate"), [1e-5] * 8, rtol=1e-6)
    assert float(metrics[-1]["num_drops"]) == 6


def test_at_the_floor_it_goes_on_averaging():
    walk = Walk([0.0], min_learning_rate=0.9, threshold=1.0, drop_delay=2)
    averaged = [float(walk.step([1.0])["averaged"]) for _ in range(10)]
    assert sum(averaged) >= 3


def test_the_cap_of_theta():
    thetas = values(straight_line(drop_factor=0.5, max_threshold=3.0), "threshold")
    np.testing.assert_allclose(thetas, [1, 1, 2, 3, 3, 3, 3, 3], rtol=1e-6)


def test_the_pseudo_code_read_literally_starves():
    # Angles within 0.2 degrees of each other: with theta = 0.5 every epoch is
    # saturated. Ignoring that, a drop comes every n_d epochs; restarting, never.
    turns = 60 + 0.1 * np.random.default_rng(0).uniform(-1, 1, size=200)

    def drops(retrigger):
        walk = Walk([0, 0], threshold=0.5, drop_delay=2, averaging=False,
                    retrigger=retrigger)  # fmt: skip
        return float(walk.turn_by(*turns)[-1]["num_drops"])

    assert drops("restart") == 0
    assert drops("ignore") == (200 - 2) // 2


def test_a_zero_step_gives_no_information():
    walk = Walk([0, 0], threshold=0.5, drop_delay=1, averaging=False)
    metrics = walk.turn_by(0, 60)
    metrics.append(walk.step([0, 0]))  # no step: no angle now, and none after it
    metrics += walk.turn_by(60, 60, 60)
    angles = values(metrics, "angular_velocity")
    np.testing.assert_allclose(angles, [np.inf, 60, np.inf, np.inf, 60, 60], atol=1e-3)
    assert values(metrics, "num_drops") == [0, 0, 0, 0, 0, 1]
    assert values(metrics, "step_norm")[2] == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_epoch_end_that_is_not_finite_changes_nothing(bad):
    walk = Walk([0, 0], threshold=0.5, drop_delay=4)
    before = walk.turn_by(0, 60, 60, 60)[-1]
    assert (float(before["delay_count"]), float(before["epoch"])) == (2, 4)
    state, x = walk.state, walk.x

    metrics = walk.end_at([bad, 0.0])
    assert np.isposinf(metrics["angular_velocity"])
    assert float(metrics["epoch"]) == 5
    for name in ("delay_count", "num_drops", "learning_rate", "threshold"):
        assert float(metrics[name]) == float(before[name])
    for tree in ("anchor", "previous_step", "average"):
        np.testing.assert_array_equal(getattr(walk.state, tree), getattr(state, tree))
    assert not np.isfinite(walk.x[0])

    # Recovery: measured from the last finite anchor; the delay goes on.
    walk.x = x
    metrics = walk.turn_by(60, 60)
    np.testing.assert_allclose(values(metrics, "angular_velocity"), [60, 60], atol=1e-3)
    assert values(metrics, "delay_count") == [3, 0]
    assert values(metrics, "num_drops") == [0, 1]
    assert np.all(np.isfinite(walk.x))


def test_a_due_drop_waits_for_a_finite_epoch():
    walk = Walk([0, 0], threshold=0.5, drop_delay=2, averaging=False)
    walk.turn_by(0, 60, 60)
    x = walk.x
    assert float(walk.end_at([np.nan, 0])["num_drops"]) == 0  # due, but not finite
    walk.x = x
    assert float(walk.turn_by(60)[0]["num_drops"]) == 1


@pytest.mark.parametrize("way", ["link", "wrapper", "counting"])
def test_bad_epochs_in_every_way_as_in_the_reference(way):
    """Steps put by hand; epochs 5 and 12 end on NaN and infinity, 9 does not move."""
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(30, 6)).astype(np.float32)
    steps[8] = 0
    keywords = {"threshold": 20.0, "max_threshold": 40.0, "drop_delay": 2,
                "drop_factor": 0.5, "averaging": False}  # fmt: skip
    optimizer = {
        "link": lambda: epoch_autodrop(1.0, **keywords),
        "wrapper": lambda: with_epoch_autodrop(optax.identity(), 1.0, 1, **keywords),
        "counting": lambda: epoch_autodrop(1.0, steps_per_epoch=1, **keywords),
    }[way]()
    x = started_at = jnp.zeros(6)
    state = optimizer.init(x)
    update = jax.jit(optimizer.update)
    auto = Algorithm1(np.zeros(6), 1.0, theta_0=20.0, theta_max=40.0, n_d=2, rho=0.5,
                      averaging=False)  # fmt: skip
    for t, step in enumerate(steps, start=1):
        bad = {5: np.nan, 12: np.inf}.get(t, 0.0)
        # Undo the scale: the walk is the same whatever the rate.
        wanted = np.asarray(x, np.float64) + step + bad
        auto.end_epoch(wanted.astype(np.float32).astype(np.float64))
        end = jnp.asarray(wanted, jnp.float32)
        seen = state
        if way == "link":
            _, state = end_epoch(end, state)
            seen = state
        elif way == "wrapper":
            scale = state[1].rate_scale
            _, state = update((end - x) / scale, state, x)
            seen = state
        else:
            _, state = update(jnp.zeros(6), state, started_at)
            _, seen = update(jnp.zeros(6), state, end)
            started_at = end  # bad ones too: it sees them a step later
        metrics = autodrop_metrics(seen)
        assert float(metrics["num_drops"]) == auto.drops, t
        assert float(metrics["delay_count"]) == auto.k, t
        np.testing.assert_allclose(
            metrics["angular_velocity"], logged(auto.w[-1]), atol=2e-3
        )
        np.testing.assert_allclose(metrics["learning_rate"], auto.alpha, rtol=1e-5)
        x = x if bad else end  # the user restores the last good parameters
    assert auto.drops >= 3
    assert np.isnan(auto.w).sum() == 5  # 1; 5; 9 and 10; 12


@pytest.mark.parametrize("way", ["wrapper", "counting"])
def test_training_recovers_from_a_nan_gradient(way):
    # Descent on |x|^2 / 2 with a NaN gradient in epoch 3, undone by the user.
    keywords = {"threshold": 1.0, "drop_delay": 1, "averaging": False}
    if way == "wrapper":
        optimizer = with_epoch_autodrop(optax.sgd(0.1), 0.1, 2, **keywords)
    else:
        optimizer = optax.chain(
            optax.sgd(0.1), epoch_autodrop(0.1, steps_per_epoch=2, **keywords)
        )
    x = jnp.array([1.0, 2.0])
    state = optimizer.init(x)
    update = jax.jit(optimizer.update)
    drops = []
    for step in range(24):
        gradient = x if step != 5 else x * jnp.nan
        updates, state = update(gradient, state, x)
        good = x
        x = optax.apply_updates(x, updates)
        drops.append(float(autodrop_metrics(state)["num_drops"]))
        if step in (6, 5) and not np.all(np.isfinite(x)):
            x = good  # restored after the epoch has ended on NaN, or a step later
    assert np.all(np.isfinite(jax.tree.leaves(autodrop_metrics(state))))
    assert drops[-1] > drops[9]  # epoch 3 ended on NaN; decisions came after it


def test_steps_larger_than_float16_can_hold():
    walk = Walk([0, 0])
    walk.x = jnp.asarray([-6e4, 0.0], jnp.float16)
    walk.state = walk.optimizer.init(walk.x)
    for end, norm in [([6e4, 0], 1.2e5), ([6e4, 6e4], 6e4), ([-6e4, 6e4], 1.2e5)]:
        walk.x, walk.state = end_epoch(jnp.asarray(end, jnp.float16), walk.state)
        metrics = autodrop_metrics(walk.state)
        assert float(metrics["step_norm"]) == pytest.approx(norm, rel=1e-3)
    assert float(metrics["angular_velocity"]) == pytest.approx(90, abs=1e-3)
