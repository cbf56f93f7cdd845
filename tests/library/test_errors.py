"""Bad input: each error names the value, the range and the remedy."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from autodrop_optax import (
    angle_between,
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
    windowed_autodrop,
    with_epoch_autodrop,
)

OUT_OF_RANGE = [
    ("learning_rate", 0.0, "positive and finite"),
    ("learning_rate", -0.1, "positive and finite"),
    ("learning_rate", float("nan"), "positive and finite"),
    ("learning_rate", float("inf"), "positive and finite"),
    ("learning_rate", "0.1", "positive and finite"),
    ("learning_rate", True, "positive and finite"),
    ("drop_factor", 0.0, "between 0 and 1"),
    ("drop_factor", 1.0, "between 0 and 1"),
    ("drop_factor", 5.0, "between 0 and 1"),
    ("min_learning_rate", -1e-9, "0 or more"),
    ("threshold", -0.1, "0 degrees or more"),
    ("max_threshold", float("nan"), "0 degrees or more"),
    ("drop_delay", 0, "an integer of at least 1"),
    ("drop_delay", 2.5, "an integer of at least 1"),
    ("drop_delay", 2**40, "an integer of at least 1 and below 2**31"),
    ("window", 0, "an integer of at least 1"),
    ("window", 1.5, "an integer of at least 1"),
    ("retrigger", "sometimes", "'ignore' or 'restart'"),
    ("anchor", "nowhere", "'after_averaging' or 'before_averaging'"),
    ("averaging", 1, "True or False"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), OUT_OF_RANGE)
def test_out_of_range(name, value, allowed):
    keywords = {"learning_rate": 0.1} | {name: value}
    pattern = f"{name} must be {re.escape(allowed)}.*got {re.escape(repr(value))}"
    with pytest.raises(ValueError, match=pattern):
        epoch_autodrop(**keywords)
    with pytest.raises(ValueError, match=pattern):
        with_epoch_autodrop(optax.sgd(0.1), steps_per_epoch=2, **keywords)


def wrapped(learning_rate, **keywords):
    return with_epoch_autodrop(optax.sgd(0.1), learning_rate, 3, **keywords)


SHARED = {"learning_rate", "drop_factor", "min_learning_rate", "threshold"}
OUT_OF_RANGE_OF_WINDOWS = [case for case in OUT_OF_RANGE if case[0] in SHARED] + [
    ("threshold", None, "0 degrees or more"),
    ("window_steps", 0, "an integer of at least 1"),
    ("window_steps", 6.4, "an integer of at least 1"),
    ("sample_every", 0, "an integer of at least 1"),
    ("buffer_size", 0, "an integer of at least 1"),
    ("buffer_size", True, "an integer of at least 1"),
    ("smoothing", "times", "'time' or 'value'"),
    ("two_sided", 1, "True or False"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), OUT_OF_RANGE_OF_WINDOWS)
def test_out_of_range_of_windows(name, value, allowed):
    pattern = f"{name} must be {re.escape(allowed)}.*got {re.escape(repr(value))}"
    with pytest.raises(ValueError, match=pattern):
        windowed_autodrop(**{"learning_rate": 0.1} | {name: value})


def test_samples_that_do_not_fill_a_window():
    with pytest.raises(
        ValueError, match=r"window_steps=64 is no multiple of.*=10.*windows end with"
    ):
        windowed_autodrop(0.1, sample_every=10)


@pytest.mark.parametrize("value", [0, -3, 1.5, True, "7", 2**31])
def test_steps_per_epoch(value):
    pattern = f"steps_per_epoch must be an integer of at least 1.*got {value!r}"
    with pytest.raises(ValueError, match=pattern):
        epoch_autodrop(0.1, steps_per_epoch=value, averaging=False)
    with pytest.raises(ValueError, match=pattern):
        with_epoch_autodrop(optax.sgd(0.1), 0.1, value)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (epoch_autodrop, "learning_rate"),
        (epoch_autodrop, "threshold"),
        (epoch_autodrop, "drop_delay"),
        (windowed_autodrop, "threshold"),
        (windowed_autodrop, "window_steps"),
    ],
)
def test_several_values_at_once(make, name):
    keywords = {"learning_rate": 0.1} | {name: jnp.array([1, 2])}
    with pytest.raises(ValueError, match=rf"{name} must be a scalar.*\(2,\).*vmap"):
        make(**keywords)


@pytest.mark.parametrize(
    ("rate", "floor"), [(1e-4, {}), (1e-5, {}), (0.1, 0.1), (np.float32(0.1), 0.5)]
)
@pytest.mark.parametrize("make", [epoch_autodrop, windowed_autodrop, wrapped])
def test_a_floor_that_is_not_below_the_rate(make, rate, floor):
    keywords = {"min_learning_rate": floor} if floor else {}
    with pytest.raises(
        ValueError,
        match=rf"min_learning_rate={floor or 0.0001} .*not below learning_rate={rate}"
        rf".*min_learning_rate={rate / 1000:g}, or 0",
    ):
        make(rate, **keywords)
    make(rate, min_learning_rate=0)
    make(rate, min_learning_rate=rate / 1000)
    make(jnp.asarray(rate), **keywords)  # of arrays nothing is known


def test_threshold_above_its_cap():
    with pytest.raises(ValueError, match=r"threshold=2.0 exceeds max_threshold=1.0"):
        epoch_autodrop(0.1, threshold=2.0)


def test_threshold_none_is_reserved():
    with pytest.raises(ValueError, match=r"threshold must be a number.*None"):
        epoch_autodrop(0.1, threshold=None)


@pytest.mark.parametrize("make", [epoch_autodrop, windowed_autodrop])
def test_a_schedule_as_learning_rate(make):
    with pytest.raises(
        ValueError,
        match=rf"(?s)schedule.*Put the schedule in the chain.* {make.__name__}\(peak",
    ):
        make(optax.cosine_decay_schedule(0.1, 100))


def test_averaging_on_a_counting_link():
    with pytest.raises(
        ValueError, match=r"averaging=False.*end_epoch.*with_epoch_autodrop"
    ):
        epoch_autodrop(0.1, steps_per_epoch=10)


def test_tracers_and_arrays_pass():
    @jax.jit
    def rate(learning_rate, drop_factor, drop_delay):
        link = epoch_autodrop(
            learning_rate, drop_factor=drop_factor, drop_delay=drop_delay
        )
        return autodrop_metrics(link.init(jnp.ones(2)))["learning_rate"]

    assert float(rate(0.1, 0.5, 3)) == pytest.approx(0.1)
    epoch_autodrop(jnp.asarray(0.1), threshold=jnp.asarray(0.5))
    epoch_autodrop(np.float32(0.1), drop_delay=np.int64(3), window=np.int32(2))


@pytest.mark.parametrize(
    ("make", "name"), [(epoch_autodrop, "window"), (windowed_autodrop, "buffer_size")]
)
def test_a_traced_shape_says_to_make_it_static(make, name):
    optimizer = optax.inject_hyperparams(make)(0.1)
    with pytest.raises(ValueError, match=rf"{name}.*static_args"):
        jax.jit(optimizer.init)(jnp.ones(2))


def test_parameters_are_needed():
    params = jnp.ones(2)
    link = epoch_autodrop(0.1, steps_per_epoch=3, averaging=False)
    with pytest.raises(
        ValueError, match=r"params=None.*update\(updates, state, params\)"
    ):
        link.update(params, link.init(params))
    for optimizer in (
        with_epoch_autodrop(optax.sgd(0.1), 0.1, 3),
        windowed_autodrop(0.1),
    ):
        with pytest.raises(
            ValueError, match=r"params=None.*update\(updates, state, params\)"
        ):
            optimizer.update(params, optimizer.init(params))


def test_a_link_with_explicit_epochs_needs_no_parameters():
    link = epoch_autodrop(0.1)
    link.update(jnp.ones(2), link.init(jnp.ones(2)))


@pytest.mark.parametrize(
    "call", [lambda s: end_epoch(jnp.ones(2), s), autodrop_metrics]
)
def test_a_state_without_autodrop(call):
    state = optax.sgd(0.1, momentum=0.9).init(jnp.ones(2))
    with pytest.raises(ValueError, match=r"no state of AutoDrop.*from an optimizer"):
        call(state)


@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(
            epoch_autodrop(0.1, steps_per_epoch=3, averaging=False), id="link"
        ),
        pytest.param(with_epoch_autodrop(optax.sgd(0.1), 0.1, 3), id="wrapper"),
    ],
)
def test_end_epoch_on_a_counting_state(optimizer):
    params = jnp.ones(2)
    state = optimizer.init(params)
    for call in (end_epoch, jax.jit(end_epoch)):
        with pytest.raises(ValueError, match=r"counts its epochs itself.*twice"):
            call(params, state)


def test_end_epoch_on_windows():
    params = jnp.ones(2)
    state = optax.chain(windowed_autodrop(0.1), optax.sgd(0.1)).init(params)
    for call in (end_epoch, jax.jit(end_epoch)):
        with pytest.raises(
            ValueError, match=r"WindowedAutoDropState.*Leave end_epoch out"
        ):
            call(params, state)


def test_two_states_over_the_same_parameters():
    optimizer = optax.chain(epoch_autodrop(0.1), optax.sgd(0.1), epoch_autodrop(0.1))
    params = {"w": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"Two states of AutoDrop cover.*\['w'\]"):
        end_epoch(params, optimizer.init(params))


def test_other_parameters_than_at_init():
    params = {"w": jnp.ones(2)}
    link_state = epoch_autodrop(0.1).init(params)
    with pytest.raises(
        ValueError, match=r"(?s)params.*given to init differ in structure"
    ):
        end_epoch({"v": jnp.ones(2)}, link_state)
    with pytest.raises(ValueError, match=r"differ in shape at \['w'\].*\(3,\).*\(2,\)"):
        end_epoch({"w": jnp.ones(3)}, link_state)
    for optimizer in (
        with_epoch_autodrop(optax.identity(), 0.1, 3),
        epoch_autodrop(0.1, steps_per_epoch=3, averaging=False),
        windowed_autodrop(0.1),
    ):
        state = optimizer.init(params)
        with pytest.raises(ValueError, match="given to init differ in shape"):
            optimizer.update({"w": jnp.ones(3)}, state, {"w": jnp.ones(3)})


def test_dtypes_that_differ_are_named():
    params = {"w": jnp.ones(2)}
    state = epoch_autodrop(0.1).init(params)
    with pytest.raises(ValueError, match=r"dtype at \['w'\]: complex64 vs float32"):
        end_epoch({"w": jnp.ones(2, jnp.complex64)}, state)
    with pytest.raises(
        ValueError, match=r"differ in dtype at the root: float32 vs int"
    ):
        angle_between(jnp.array([1.0, 0.0]), jnp.array([1, 0]))


@pytest.mark.parametrize(
    ("made", "used", "message"),
    [
        (
            epoch_autodrop(0.1),
            epoch_autodrop(0.1, window=5),
            "window is 5 here, but was 1",
        ),
        (
            epoch_autodrop(0.1, averaging=False),
            epoch_autodrop(0.1),
            "averaging is True here, but was False",
        ),
        (
            epoch_autodrop(0.1, averaging=False, steps_per_epoch=2),
            epoch_autodrop(0.1, averaging=False),
            "steps_per_epoch given is False here, but was True",
        ),
        (
            epoch_autodrop(0.1, averaging=False),
            epoch_autodrop(0.1, averaging=False, steps_per_epoch=2),
            "steps_per_epoch given is True here, but was False",
        ),
        (
            windowed_autodrop(0.1),
            windowed_autodrop(0.1, buffer_size=5),
            "buffer_size is 5 here, but was 10",
        ),
    ],
)
def test_a_state_made_by_another_transformation(made, used, message):
    params = jnp.ones(2)
    with pytest.raises(ValueError, match=message):
        used.update(params, made.init(params), params)


@pytest.mark.parametrize("optimizer", [optax.sgd, 0.1])
def test_an_optimizer_that_is_none(optimizer):
    with pytest.raises(ValueError, match=r"optimizer must be an optax.Gradient.*got"):
        with_epoch_autodrop(optimizer, 0.1, 3)


def test_parameters_without_a_direction():
    for link in (epoch_autodrop(0.1), windowed_autodrop(0.1)):
        with pytest.raises(ValueError, match=r"every leaf is of dtype bool, int32"):
            link.init({"i": jnp.arange(3), "b": jnp.array([True])})
        link.init({})  # a frozen group, or a placeholder
