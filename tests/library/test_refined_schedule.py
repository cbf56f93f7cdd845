"""Schedules refined by gradient norms, against the formulas written out in loops."""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from autodrop_optax.refinement import (
    refine_schedule,
    refinement_arrays,
    resample,
    schedule_from_values,
)

MAX_INT = jnp.iinfo(jnp.int32).max


def random_norms(count, seed=0):
    return np.exp(np.random.default_rng(seed).normal(size=count))


def reference(norms, power, smoothing):
    """Smoothed norms, weights and values, in loops; steps are counted from 0."""
    steps = len(norms)
    half = int(smoothing * steps) // 2

    def norm_at(step):  # beyond the end by reflection, before the start the first
        turn = max(step, 0) % (2 * (steps - 1))
        return norms[min(turn, 2 * (steps - 1) - turn)]

    smoothed = [
        sorted(norm_at(step + offset) for offset in range(-half, half + 1))[half]
        for step in range(steps)
    ]
    weights = [g**-power for g in smoothed]
    values = [weights[t] * sum(weights[t + 1 :]) for t in range(steps)]
    return smoothed, weights, [v / max(values) for v in values]


@pytest.mark.parametrize(("optimizer", "power"), [("sgd", 2), ("adam", 1)])
@pytest.mark.parametrize("smoothing", [0, 0.1, 0.37, 1])
@pytest.mark.parametrize("steps", [2, 3, 7, 40, 101])
def test_it_is_the_formula(optimizer, power, smoothing, steps):
    norms = random_norms(steps, seed=steps)
    smoothed, weights, values = reference(norms, power, smoothing)
    options = {"optimizer": optimizer, "smoothing": smoothing}
    arrays = refinement_arrays(norms, **options)
    np.testing.assert_array_equal(arrays.smoothed_norms, smoothed)
    np.testing.assert_allclose(arrays.weights, weights, rtol=1e-14)
    np.testing.assert_allclose(arrays.values, values, rtol=1e-12)
    assert {a.dtype.name for a in arrays} == {"float64"}
    schedule = refine_schedule(norms, **options)
    np.testing.assert_array_equal(
        [schedule(i) for i in range(steps)], arrays.values.astype(np.float32)
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("norm", [1.0, 0.1, 3e-200, 7e180])
@pytest.mark.parametrize("steps", [2, 10, 1001])
def test_norms_that_stay_the_same_give_linear_decay_exactly(optimizer, norm, steps):
    arrays = refinement_arrays(np.full(steps, norm), optimizer=optimizer)
    linear = np.arange(steps - 1, -1, -1) / (steps - 1)
    np.testing.assert_array_equal(arrays.values, linear)


def test_norms_that_fall_enough_give_warm_up_and_mild_ones_do_not():
    time = np.linspace(0, 1, 1000)
    falling = refinement_arrays(np.exp(-3 * time), smoothing=0).values
    # w = e^{6 t}: eta ~ e^{6 t} (e^6 - e^{6 t}) is largest at e^{6 t} = e^6 / 2.
    assert abs(time[falling.argmax()] - (6 - np.log(2)) / 6) < 2e-3
    assert falling[0] < 0.02
    mild = refinement_arrays(np.exp(-0.3 * time), smoothing=0).values
    assert mild.argmax() == 0
    rising = refinement_arrays(np.exp(time), smoothing=0).values
    assert np.all(rising[1:-1] < 1 - time[1:-1])


def test_single_outliers_are_smoothed_away():
    norms = np.ones(100)
    norms[[20, 50, 51]] = 100.0, 1e-4, 1e4
    linear = refinement_arrays(np.ones(100)).values
    np.testing.assert_array_equal(refinement_arrays(norms).values, linear)
    assert refinement_arrays(norms, smoothing=0).values.argmax() == 50


@pytest.mark.parametrize("jit", [True, False], ids=["jit", "eager"])
def test_it_is_a_schedule_of_optax(jit):
    schedule = refine_schedule(np.ones(5))
    call = jax.jit(schedule) if jit else schedule
    for step, value in [(0, 1), (1, 0.75), (3, 0.25), (4, 0), (5, 0), (MAX_INT, 0)]:
        got = call(jnp.asarray(step, jnp.int32))
        assert float(got) == value
        assert got.dtype == jnp.float32
        assert got.shape == ()
        assert not got.weak_type
    np.testing.assert_array_equal(call(jnp.arange(6)), [1, 0.75, 0.5, 0.25, 0, 0])


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.uint8, jnp.int16, jnp.uint32, bool])
def test_steps_counted_in_types_narrower_than_the_schedule_is_long(dtype):
    # In 8 or 16 bits this length is 3, which the steps would be clipped to.
    schedule = schedule_from_values(np.arange(1, 2**16 + 4))
    steps = [0, 1] if dtype is bool else [0, 5, 100]
    found = schedule(jnp.array(steps, dtype))
    np.testing.assert_array_equal(found, np.add(steps, 1))


def test_it_drives_an_optimizer_in_a_scan():
    optimizer = optax.chain(
        optax.sgd(1.0), optax.scale_by_schedule(refine_schedule(np.ones(5)))
    )
    params = jnp.zeros(2)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jnp.ones(2), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params[0]

    carry = params, optimizer.init(params)
    _, course = jax.jit(lambda c: jax.lax.scan(step, c, length=7))(carry)
    np.testing.assert_allclose(course, -np.array([1, 1.75, 2.25, 2.5, 2.5, 2.5, 2.5]))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-6), ("bfloat16", 2e-2), ("int32", 0)]
)
def test_norms_of_other_dtypes(dtype, tolerance):
    norms = jnp.asarray(np.arange(1, 30), dtype)
    exact = refinement_arrays(np.arange(1.0, 30.0)).values
    values = refinement_arrays(norms).values
    np.testing.assert_allclose(values, exact, rtol=tolerance)
    assert values.dtype == np.float64


def test_scales_at_the_ends_of_float64():
    shape = random_norms(20)
    exact = refinement_arrays(shape).values
    for scale in (1e-250, 1e250):
        values = refinement_arrays(shape * scale).values
        np.testing.assert_allclose(values, exact, rtol=1e-12)


def test_norms_whose_weights_float64_does_not_hold():
    with pytest.raises(ValueError, match=r"from 1e-200 to 1e\+200 are too far apart"):
        refine_schedule([1e200, 1e190, 1e-200], smoothing=0)


def faulty(**at):
    norms = np.ones(40)
    for name, places in at.items():
        value = {"zero": 0, "negative": -1, "infinite": np.inf, "nan": np.nan}[name]
        norms[places] = value
    return norms


@pytest.mark.parametrize(
    ("norms", "message"),
    [
        (faulty(zero=[3]), r"of 40 there are 1 zero \(at 3\), counted from 0"),
        (faulty(zero=[0, 7]), r"2 zero \(at 0, 7\)"),
        (faulty(nan=range(6)), r"6 NaN \(at 0, 1, 2, 3, 4, \.\.\.\)"),
        (faulty(infinite=[1], negative=[2]), r"1 negative \(at 2\), 1 infinite \(at 1"),
        (-faulty(infinite=[1]), r"39 negative .*, 1 infinite \(at 1\)"),
        (np.ones((2, 3)), r"vector of at least 2 norms.* \(2, 3\)"),
        (np.ones(1), r"vector of at least 2 norms.* \(1,\)"),
        (np.float64(1), r"vector of at least 2 norms.* \(\)"),
        (np.ones(3, complex), "real numbers, got dtype complex128"),
        (["a", "b"], "real numbers, got dtype"),
    ],
    ids=["zero", "zeros", "many", "mixed", "negative-infinity", "matrix", "one",
         "scalar", "complex", "text"],
)  # fmt: skip
@pytest.mark.parametrize("function", [refine_schedule, refinement_arrays])
def test_faulty_norms_are_counted_and_placed(function, norms, message):
    with pytest.raises(ValueError, match=message):
        function(norms)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adamw"}, "optimizer must be 'sgd' or 'adam', got 'adamw'"),
        ({"smoothing": -0.1}, "between 0 and 1, got -0.1"),
        ({"smoothing": 1.5}, "between 0 and 1, got 1.5"),
        ({"smoothing": "some"}, "between 0 and 1, got 'some'"),
        ({"smoothing": float("nan")}, "between 0 and 1, got nan"),
        ({"smoothing": np.array([0.1])}, r"between 0 and 1, got array\(\[0.1\]\)"),
        ({"smoothing": np.True_}, "between 0 and 1, got np.True_"),
        ({"num_steps": 0}, "num_steps must be an integer of at least 1"),
        ({"num_steps": 1}, "at least 2, got 3 values and num_steps=1"),
        ({"num_steps": 2.5}, "num_steps must be an integer"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        refine_schedule(np.ones(3), **options)


def test_traced_norms():
    with pytest.raises(ValueError, match=r"outside of jax\.jit"):
        jax.jit(lambda norms: refine_schedule(norms)(0))(jnp.ones(3))


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    refine_schedule(np.ones(30), smoothing=0.0)
    refine_schedule(np.ones(3))  # a filter of one value is none
    with pytest.raises(
        ImportError, match=r'pip install "autodrop-optax\[refinement\]"'
    ):
        refine_schedule(np.ones(30))


def test_a_million_steps_do_not_take_minutes():
    norms = random_norms(10**6)
    start = time.process_time()
    schedule = refine_schedule(norms)
    assert time.process_time() - start < 30
    assert float(schedule(10**6 - 1)) == 0


@pytest.mark.parametrize("num_steps", [2, 5, 9, 10, 1000])
def test_linear_decay_resampled_is_linear_decay(num_steps):
    schedule = refine_schedule(np.ones(10), num_steps=num_steps)
    linear = np.arange(num_steps - 1, -1, -1) / (num_steps - 1)
    got = schedule(np.arange(num_steps + 2))
    np.testing.assert_allclose(got, np.append(linear, [0, 0]), rtol=3e-7)
    assert float(got[0]) == 1
    assert float(got[num_steps - 1]) == 0


def test_resampling():
    # To twice as many intervals: the old values, and the means of neighbours.
    np.testing.assert_allclose(
        resample([0.2, 1.0, 0.4, 0.0], 7), [0.2, 0.6, 1.0, 0.7, 0.4, 0.2, 0.0]
    )
    # The peak falls between two steps: the largest value becomes 1.
    np.testing.assert_allclose(
        resample([0.0, 1.0, 0.0, 0.0, 0.0], 4), [0, 1, 0, 0], atol=1e-15
    )
    values = refinement_arrays(random_norms(500)).values
    np.testing.assert_array_equal(resample(values, 500), values)
    fine = resample(values, 49_901)  # 100 times as many intervals
    np.testing.assert_allclose(fine[::100], values, atol=1e-12)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0]], r"must be a vector, got an array of shape \(1, 1\)"),
        ([1.0, -0.5], "none negative"),
        ([0.0, 0.0], "some positive"),
        ([1.0, np.nan], "finite"),
    ],
)
def test_values_that_are_no_schedule(values, message):
    with pytest.raises(ValueError, match=message):
        schedule_from_values(values)
    with pytest.raises(ValueError, match=message):
        resample(values, 5)


@pytest.mark.parametrize("values", [[1e39, 1.0], [1e-50, 1e-50]])
def test_values_that_float32_does_not_hold(values):
    with pytest.raises(ValueError, match="must be finite, none negative and some pos"):
        schedule_from_values(values)


def test_nothing_left_by_resampling():
    with pytest.raises(ValueError, match="In 2 steps nothing is left"):
        resample([0.0, 1.0, 0.0], 2)
