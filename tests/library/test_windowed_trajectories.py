"""Windows made by hand, whose angles and drops are known beforehand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import Windowed, smooth

from autodrop_optax import _windowed_autodrop as algorithm
from autodrop_optax import autodrop_metrics, windowed_autodrop

STATIC = ("buffer_size", "smoothing", "two_sided")
DEFAULTS = {
    "learning_rate": 1.0,
    "window_steps": 1,
    "sample_every": 1,
    "threshold": 0.1,
    "drop_factor": 0.95,
    "min_learning_rate": 1e-4,
}


@functools.cache
def compiled_update(static):
    """An update whose other hyperparameters are arguments: compiled once."""

    def update(params, state, options):
        link = windowed_autodrop(**options, **dict(static))
        return link.update(params, state, params)

    return jax.jit(update)


class Walk:
    """Parameters put by hand; a window is one step unless said otherwise."""

    def __init__(self, x=(0.0, 0.0), **keywords):
        self.x, self.heading = np.asarray(x, np.float64), 0.0
        options = DEFAULTS | keywords
        self.state = windowed_autodrop(**options).init(jnp.asarray(x, jnp.float32))
        self.options = {k: v for k, v in options.items() if k not in STATIC}
        static = [(k, v) for k, v in sorted(options.items()) if k in STATIC]
        self.update = compiled_update(tuple(static))
        self.seen = [self.see(self.x)]  # the metrics after each step

    def see(self, x):
        params = jnp.asarray(x, jnp.float32)
        self.updates, self.state = self.update(params, self.state, self.options)
        return autodrop_metrics(self.state)

    def step(self, s):
        self.x = self.x + np.asarray(s)
        self.seen.append(self.see(self.x))

    def turn_by(self, *degrees):
        """Unit steps in a plane, each turned by so many degrees."""
        for turn in degrees:
            self.heading += np.radians(turn)
            self.step([np.cos(self.heading), np.sin(self.heading)])
        return self

    def values(self, name):
        return [float(metrics[name]) for metrics in self.seen]


def drops_at(walk):
    counts = walk.values("num_drops")
    return [i + 1 for i in range(1, len(counts)) if counts[i] > counts[i - 1]]


def test_the_first_angle_comes_after_three_windows():
    walk = Walk().turn_by(70, 50, 30)
    no = np.inf
    np.testing.assert_allclose(
        walk.values("angular_velocity"), [no, no, 50, 30], atol=1e-3
    )
    np.testing.assert_allclose(walk.values("step_norm"), [0, 1, 1, 1], rtol=1e-6)
    assert walk.values("window") == [1, 2, 3, 4]


def test_independent_windows_are_120_degrees_apart():
    # s_i = y_i - y_{i-1}: the cosine of neighbours is -1/2.
    walk = Walk(np.zeros(20_000), window_steps=4)
    rng = np.random.default_rng(0)
    for _ in range(4 * 8):
        walk.see(rng.normal(size=20_000))
    walk.seen = [walk.see(rng.normal(size=20_000)) for _ in range(4 * 10)]
    np.testing.assert_allclose(walk.values("angular_velocity"), 120.0, atol=2.0)
    assert abs(np.mean(walk.values("angular_velocity")) - 120) < 0.3


def test_a_random_walk_turns_by_the_angle_of_its_averaged_steps():
    # Windows of k steps: <s, s'> / |s|^2 = (k^2 - 1) / (2 (2 k^2 + 1)) = 5/22, k = 4.
    walk = Walk(np.zeros(20_000), window_steps=4)
    rng = np.random.default_rng(0)
    for _ in range(4 * 20):
        walk.step(rng.normal(size=20_000))
    expected = np.degrees(np.arccos(5 / 22))
    assert abs(np.mean(walk.values("angular_velocity")[12:]) - expected) < 0.3


def test_straight_motion_is_0_degrees():
    walk = Walk(window_steps=4)
    for _ in range(20):
        walk.step([0.3, 0.4])
    angles = walk.values("angular_velocity")
    assert np.isposinf(angles[:11]).all()  # windows end with samples 4, 8, 12, ...
    np.testing.assert_allclose(angles[11:], 0.0, atol=1e-3)
    np.testing.assert_allclose(walk.values("step_norm")[7:], 4 * 0.5, rtol=1e-6)


@pytest.mark.parametrize("buffer_size", [1, 2, 5])
def test_a_drop_comes_buffer_size_plus_1_angles_after_the_last_at_the_earliest(
    buffer_size,
):
    # A circle: all angles alike, so every comparison finds saturation. The first
    # angle is that of window 3.
    walk = Walk(buffer_size=buffer_size).turn_by(*[30] * 40)
    first, gap = 3 + buffer_size, buffer_size + 1
    assert drops_at(walk) == list(range(first, 42, gap))
    assert walk.values("windows_since_drop")[first - 2 : first + 1] == [
        first - 1,
        0,
        1,
    ]


def test_across_phases_a_drop_would_come_one_angle_earlier():
    # What was not chosen: C_{i-1} of the phase before is compared as well.
    reference = Windowed(1.0, k=1, m=5, across_phases=True)
    for x in np.stack([np.cos(np.arange(41)), np.sin(np.arange(41))], axis=1):
        reference.see(x)
    assert set(np.diff(reference.drop_windows)) == {5}
    walk = Walk(buffer_size=5).turn_by(*[30] * 40)
    assert set(np.diff(drops_at(walk))) == {6}


def test_between_means_there_would_be_no_angle_to_speak_of():
    # What was not chosen: the angle between y_i and y_{i-1} themselves. Far from the
    # origin, where parameters are, it is next to nothing whatever the steps do.
    rng = np.random.default_rng(0)
    start = 50 * rng.normal(size=200)
    means, differences = (
        Windowed(1.0, k=1, between=b) for b in ("means", "differences")
    )
    walk = Walk(start)
    means.see(start)
    differences.see(start)
    for _ in range(50):
        walk.step(rng.normal(size=200))
        means.see(walk.x)
        differences.see(walk.x)
        assert means.w < 2
    assert abs(differences.w - 90) < 20
    assert walk.values("angular_velocity")[-1] == pytest.approx(differences.w, abs=1e-2)


def test_a_rise_above_the_threshold_is_no_saturation():
    # Turns of 1, 2, 3, ... degrees: the angle rises by 1 per window, smoothed too.
    assert drops_at(Walk(threshold=0.5).turn_by(*range(10, 60))) == []
    assert drops_at(Walk(threshold=1.5).turn_by(*range(10, 60)))[:2] == [13, 24]


def test_one_sided_a_fall_is_saturation_and_two_sided_it_is_not():
    falling = range(60, 10, -1)
    assert drops_at(Walk(threshold=0.5).turn_by(*falling))[:2] == [13, 24]
    assert drops_at(Walk(threshold=0.5, two_sided=True).turn_by(*falling)) == []
    assert drops_at(Walk(threshold=1.5, two_sided=True).turn_by(*falling))[0] == 13


def test_smoothing_in_time_and_on_values():
    # std = sqrt(200): both are broad next to it. Weights of the ages 2, 1, 0 with
    # width min(14.1, 1.5), and of the distances 30, 10, 0 with the same width.
    angles = np.array([50.0, 70.0, 80.0])
    in_time = np.exp(-np.array([4, 1, 0]) / (2 * 1.5**2))
    on_values = np.exp(-np.array([900, 100, 0]) / (2 * 1.5**2))
    for weights, by_value in ((in_time, False), (on_values, True)):
        found = algorithm.smooth(jnp.asarray(angles, jnp.float32), jnp.bool_(by_value))
        expected = np.dot(weights, angles) / weights.sum()
        assert float(found) == pytest.approx(expected, rel=1e-6)
        name = "value" if by_value else "time"
        assert smooth(angles, name) == pytest.approx(expected, rel=1e-12)


def test_in_time_the_width_is_in_degrees_as_printed():
    # Angles that scatter by 0.1 degrees: the Gaussian is a tenth of a window wide and
    # smooths nothing; on values it is as wide as the scatter.
    angles = 90 + 0.1 * np.random.default_rng(0).normal(size=10)
    newest = float(np.float32(angles[-1]))
    array = jnp.asarray(angles, jnp.float32)
    in_time = float(algorithm.smooth(array, jnp.bool_(False)))
    on_values = float(algorithm.smooth(array, jnp.bool_(True)))
    assert in_time == pytest.approx(newest, abs=1e-5)
    assert abs(on_values - newest) > 1e-3
    # The same for angles that scatter by 10: cut at m / 2, it smooths much in time.
    array = (array - 90) * 100 + 90
    assert abs(float(algorithm.smooth(array, jnp.bool_(False))) - float(array[-1])) > 1


@pytest.mark.parametrize("by_value", [False, True], ids=["time", "value"])
def test_the_width_is_the_standard_deviation_of_the_buffer(by_value):
    # The squares are divided by m: 1.0 here, where m - 1 would give 1.15.
    angles = np.array([89.0, 91.0, 89.0, 91.0])
    distances = angles - 91.0 if by_value else np.arange(3, -1, -1)
    weights = np.exp(-(distances**2) / 2)
    found = algorithm.smooth(jnp.asarray(angles, jnp.float32), jnp.bool_(by_value))
    assert float(found) == pytest.approx(np.dot(weights, angles) / weights.sum())
    in_reference = smooth(angles, "value" if by_value else "time")
    assert in_reference == pytest.approx(np.dot(weights, angles) / weights.sum())


def test_equal_angles_are_their_own_smoothed_value():
    for by_value in (False, True):
        assert float(algorithm.smooth(jnp.full(4, 70.0), jnp.bool_(by_value))) == 70.0


def test_the_drop_scales_the_update_of_its_own_step():
    walk = Walk(buffer_size=1, drop_factor=0.5).turn_by(30, 30)
    assert float(walk.updates[0]) == pytest.approx(walk.x[0], rel=1e-6)
    walk.turn_by(30)
    assert walk.values("num_drops")[-1] == 1
    assert float(walk.updates[0]) == pytest.approx(0.5 * walk.x[0], rel=1e-5)


def rates(**keywords):
    return Walk(buffer_size=1, drop_factor=0.1, **keywords).turn_by(*[30] * 9)


def test_the_floor():
    walk = rates(min_learning_rate=0.03)
    np.testing.assert_allclose(
        walk.values("learning_rate"), [1, 1, 1, 0.1, 0.1] + [0.03] * 5, rtol=1e-6
    )
    assert walk.values("num_drops")[-1] == 4  # counted at the floor too


def test_a_rate_below_the_floor_stays():
    walk = rates(learning_rate=1e-5, min_learning_rate=jnp.float32(1e-4))
    np.testing.assert_allclose(walk.values("learning_rate"), 1e-5, rtol=1e-6)
    assert walk.values("num_drops")[-1] == 4


def test_the_threshold_stays():
    walk = Walk(buffer_size=1).turn_by(*[30] * 9)
    assert walk.values("num_drops")[-1] == 4
    np.testing.assert_allclose(walk.values("threshold"), 0.1, rtol=1e-6)


@pytest.mark.parametrize(
    ("sample_every", "means"), [(1, 3.5), (2, 4), (3, 4.5), (6, 6)]
)
def test_samples_of_a_window(sample_every, means):
    # Of the parameters 1, ..., 6 every n-th counts, the last one always.
    walk = Walk([0.0], window_steps=6, sample_every=sample_every)
    walk.state = walk.state._replace(step=jnp.int32(0), num_samples=jnp.int32(0))
    for x in range(1, 7):
        walk.see([float(x)])
    assert float(walk.state.previous_mean[0]) == pytest.approx(means, rel=1e-6)


def test_the_mean_does_not_overflow():
    walk = Walk([5e37], window_steps=8)  # whose sum would
    for _ in range(7):
        walk.see([5e37])
    assert float(walk.state.previous_mean[0]) == pytest.approx(5e37, rel=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_mean_of_narrow_parameters_is_not_rounded_to_their_dtype(dtype):
    link = windowed_autodrop(1.0, window_steps=2)
    ulp = float(jnp.finfo(dtype).eps)
    a, b = jnp.asarray([1.0], dtype), jnp.asarray([1.0 + ulp], dtype)
    state = link.init(a)
    for x in (a, b):
        _, state = link.update(x, state, x)
    assert float(state.previous_mean[0]) == 1.0 + ulp / 2


def test_zero_steps_give_no_angle_and_no_decision():
    walk = Walk(buffer_size=2).turn_by(0, 60)
    walk.step([0.0, 0.0])  # no step: no angle now, and none after it
    walk.turn_by(60, 60, 60)
    np.testing.assert_allclose(
        walk.values("angular_velocity"),
        [np.inf, np.inf, 60, np.inf, np.inf, 60, 60],
        atol=1e-3,
    )
    # The windows between took nothing from the buffer: the third angle decides.
    assert walk.values("num_drops") == [0] * 6 + [1]
    for _ in range(30):
        walk.step([0.0, 0.0])
    assert walk.values("num_drops")[-1] == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1, 3], ids=["first", "middle", "last"])
def test_a_window_that_saw_a_sample_not_finite_is_no_window(bad, place):
    def walk(with_bad):
        walk = Walk([0.0, 0.0, 1.0], window_steps=4, buffer_size=3)
        rng = np.random.default_rng(0)
        for window in range(12):
            for i in range(4):
                if window or i:  # the first sample is the start
                    walk.x = rng.normal(size=3)
                    walk.seen.append(walk.see(walk.x))
            if window == 5 and with_bad:  # one window more, and it is bad
                for i in range(4):
                    x = [0.0, bad, 0.0] if i == place else [1.0, 2.0, 3.0]
                    walk.seen.append(walk.see(x))
                last = walk.seen[-1]
                assert np.isposinf(last["angular_velocity"])
                assert np.isposinf(last["angular_velocity_change"])
        return walk

    plain, recovered = walk(False), walk(True)
    # As if that window had not been, but that it is counted.
    assert int(recovered.state.windows) == int(plain.state.windows) + 1
    same = ("rate_scale", "angle", "angles", "num_drops", "previous_step", "step_norm")
    for name in same:
        np.testing.assert_array_equal(
            getattr(recovered.state, name), getattr(plain.state, name), err_msg=name
        )
    assert int(plain.state.num_drops) >= 1
    assert np.isfinite(
        np.concatenate(jax.tree.leaves(recovered.state.previous_mean))
    ).all()


def test_a_first_window_that_is_not_finite():
    walk = Walk([np.nan, 0.0])
    walk.x = np.zeros(2)
    walk.turn_by(0, 40, 40, 40)
    np.testing.assert_allclose(
        walk.values("angular_velocity"), [np.inf] * 3 + [40, 40], atol=1e-3
    )


def test_parameters_that_stay_not_finite_never_drop():
    walk = Walk(buffer_size=1).turn_by(0, 30)
    for _ in range(20):
        walk.step([np.nan, 0.0])
    assert walk.values("num_drops")[-1] == 0
    assert np.isposinf(walk.values("angular_velocity")[-1])


def test_leaves_without_a_direction_pass_untouched():
    params = {
        "w": jnp.ones(3),
        "count": jnp.arange(4),
        "flag": jnp.array([True, False]),
        "key": jax.random.key(0),
        "none": None,
        "empty": jnp.zeros((0, 2)),
    }
    link = windowed_autodrop(1.0, window_steps=1, buffer_size=1)
    state = link.init(params)
    for i in range(8):
        params["w"] = params["w"] + jnp.asarray([1.0, i % 2, 0.0])
        updates, state = link.update(params, state, params)
        for name in ("count", "flag", "empty"):
            np.testing.assert_array_equal(updates[name], params[name])
        assert updates["key"] == params["key"]
    assert int(state.num_drops) >= 1


def test_a_schedule_in_the_chain_goes_on_working():
    warm_up = optax.linear_schedule(0.0, 0.1, 10)
    optimizer = optax.chain(optax.sgd(warm_up), windowed_autodrop(0.1))
    params = jnp.ones(2)
    state = optimizer.init(params)
    for step in range(12):
        updates, state = optimizer.update(jnp.ones(2), state, params)
        np.testing.assert_allclose(updates, -warm_up(step), rtol=1e-6)
