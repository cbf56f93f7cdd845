"""Norms of gradients: what is recorded, when, from which leaves, in which chain."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from chains import make_params, random_tree
from rounding import assert_same_but_rounding
from slow import slow_but

from autodrop_optax import (
    end_epoch,
    epoch_autodrop,
    with_epoch_autodrop,
)
from autodrop_optax.refinement import (
    GradientNormsState,
    record_gradient_norms,
    recorded_gradient_norms,
    refine_schedule,
    refinement_arrays,
)

pytestmark = pytest.mark.usefixtures("standard_promotion")


def recorded(norms, norm="l2", buffer_size=8, wrap=lambda link: link):
    """What is recorded of gradients with these norms, and the last state."""
    link = wrap(record_gradient_norms(norm, buffer_size=buffer_size))
    state = link.init(jnp.zeros(2))
    update = jax.jit(link.update)
    for value in norms:
        gradients = jnp.array([0.6, -0.8]) * value
        updates, state = update(gradients, state, jnp.zeros(2))
        np.testing.assert_array_equal(updates, gradients)
    return recorded_gradient_norms(state), state


@pytest.mark.parametrize("steps", [0, 1, 8, 9, 16, 17, 33, 100])
def test_the_norms_are_evenly_spaced_over_the_run(steps):
    norms = np.arange(1.0, steps + 1)
    got, state = recorded(norms)
    every = int(state.every)
    assert every == max(1, 2 ** int(np.ceil(np.log2(max(steps, 1) / 8))))
    np.testing.assert_allclose(got, norms[::every], rtol=1e-6)
    assert len(got) <= 8
    assert steps <= 8 or len(got) > 4
    assert np.all(state.norms[len(got) :] == 0)
    assert int(state.step) == steps


@pytest.mark.parametrize(
    ("norm", "expected"), [("l2", np.sqrt(1 + 4 + 9 + 25)), ("l1", 1 + 2 + 3 + 5)]
)
def test_the_norm_is_that_of_all_leaves_that_have_a_direction(norm, expected):
    gradients = {
        "real": jnp.array([[1.0, -2.0]]),
        "half": jnp.array([-3.0], jnp.bfloat16),
        "complex": jnp.array([3.0 + 4.0j]),
        "integer": jnp.array([100]),
        "bool": np.array([True]),
        "none": None,
        "masked": optax.MaskedNode(),
        "float0": np.zeros(3, jax.dtypes.float0),
    }
    link = record_gradient_norms(norm)
    state = link.init(gradients)
    updates, state = link.update(gradients, state)
    chex.assert_trees_all_equal(updates, gradients)
    np.testing.assert_allclose(recorded_gradient_norms(state), [expected], rtol=1e-6)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_narrow_gradients_are_summed_up_in_wide_numbers(norm):
    gradients = jnp.full(4096, 200.0, jnp.float16)  # the sum of squares overflows
    link = record_gradient_norms(norm)
    _, state = link.update(gradients, link.init(gradients))
    exact = {"l1": 4096 * 200.0, "l2": 64 * 200.0}[norm]
    np.testing.assert_allclose(recorded_gradient_norms(state), [exact], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
def test_dtypes_of_the_state(dtype):
    with jax.enable_x64(dtype == "float64"):
        link = record_gradient_norms(buffer_size=2)
        params = jnp.ones(3, dtype)
        state = link.init(params)
        for _ in range(3):
            updates, new = link.update(params, state)
            assert updates.dtype == dtype
            chex.assert_trees_all_equal_shapes_and_dtypes(new, state)
            assert not any(x.weak_type for x in jax.tree.leaves(new))
            state = new
        assert [x.dtype.name for x in state] == ["int32", "int32", "float32"]


def test_norms_that_are_not_finite_are_recorded_as_they_are():
    got, _ = recorded([1.0, np.nan, np.inf, 2.0])
    np.testing.assert_allclose(got, [1, np.nan, np.inf, 2])
    with pytest.raises(ValueError, match=r"1 infinite \(at 2\), 1 NaN \(at 1\)"):
        refine_schedule(got)


def test_gradients_without_leaves():
    link = record_gradient_norms()
    _, state = link.update({}, link.init({}))
    np.testing.assert_array_equal(recorded_gradient_norms(state), [0.0])


PLACES = {
    "chain": lambda link: optax.chain(link, optax.sgd(0.1, momentum=0.9)),
    "adamw": lambda link: optax.chain(link, optax.adamw(0.1)),
    "masked": lambda link: optax.masked(link, {"encoder": True, "head": False}),
    "multi_steps": lambda link: optax.MultiSteps(link, 2).gradient_transformation(),
    "apply_if_finite": lambda link: optax.apply_if_finite(link, 3),
    "partition": lambda link: optax.partition(
        {"a": optax.chain(link, optax.sgd(0.1)), "b": optax.adam(0.1)},
        {"encoder": "a", "head": "b"},
    ),
    "with_epoch_autodrop": lambda link: with_epoch_autodrop(
        optax.chain(link, optax.sgd(0.1)), 0.1, 2, threshold=180.0, max_threshold=180.0
    ),
    "beside_autodrop": lambda link: optax.chain(
        link, optax.sgd(0.1), epoch_autodrop(0.1)
    ),
    "inject_hyperparams": lambda link: optax.inject_hyperparams(
        lambda rate: optax.chain(link, optax.sgd(rate))
    )(0.1),
    "ema": lambda link: optax.chain(link, optax.sgd(0.1), optax.ema(0.9)),
}


# Those that call it less often than they are called, or on other gradients.
@pytest.mark.parametrize(
    "place", slow_but(PLACES.keys(), "partition", "multi_steps", "with_epoch_autodrop")
)
def test_it_chains_with_everything(place):
    optimizer = PLACES[place](record_gradient_norms(buffer_size=4))
    without = PLACES[place](optax.identity())
    params = others = make_params()
    state, other_state = optimizer.init(params), without.init(params)
    update, other_update = jax.jit(optimizer.update), jax.jit(without.update)
    expected = []
    for seed in range(6):
        gradients = random_tree(seed, params)
        updates, state = update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        other_updates, other_state = other_update(gradients, other_state, others)
        others = optax.apply_updates(others, other_updates)
        if place == "beside_autodrop":
            params, state = end_epoch(params, state)
            others, other_state = end_epoch(others, other_state)
        part = gradients["encoder"] if place in ("masked", "partition") else gradients
        expected.append(part)
    assert_same_but_rounding(params, others)
    if place == "multi_steps":
        pairs = zip(expected[::2], expected[1::2], strict=True)
        expected = [jax.tree.map(lambda x, y: (x + y) / 2, *pair) for pair in pairs]
    else:
        expected = expected[::2]
    norms = [float(optax.tree.norm(x)) for x in expected]
    np.testing.assert_allclose(recorded_gradient_norms(state), norms, rtol=1e-5)


def test_under_scan_and_vmap():
    link = record_gradient_norms("l1", buffer_size=4)

    def run(scale):
        def step(state, t):
            return link.update(scale * t * jnp.ones(3), state)[1], None

        return jax.lax.scan(step, link.init(jnp.zeros(3)), jnp.arange(1.0, 7.0))[0]

    state = jax.jit(jax.vmap(run))(jnp.array([1.0, 2.0]))
    expected = 3 * np.array([[1.0, 3.0, 5.0], [2.0, 6.0, 10.0]])
    np.testing.assert_allclose(recorded_gradient_norms(state), expected, rtol=1e-6)
    apart = state._replace(step=jnp.array([6, 5], jnp.int32))
    with pytest.raises(ValueError, match="not made the same number of steps"):
        recorded_gradient_norms(apart)


def test_gradients_pass_through_it():
    link = record_gradient_norms(buffer_size=2)

    def loss(x):
        state = link.init(x)
        for _ in range(3):
            updates, state = link.update(x**2, state)
            x = x - updates
        return jnp.sum(x)

    def plain(x):
        for _ in range(3):
            x = x - x**2
        return jnp.sum(x)

    x = jnp.array([0.3, -0.2])
    np.testing.assert_allclose(jax.grad(loss)(x), jax.grad(plain)(x), rtol=1e-6)


def test_the_buffer_is_donated_and_nothing_compiled_twice():
    link = record_gradient_norms(buffer_size=4)
    state = link.init(jnp.ones(2))
    update = jax.jit(link.update, donate_argnums=1)
    for _ in range(10):
        before = state
        _, state = update(jnp.ones(2), state)
        assert before.norms.is_deleted()
    assert update._cache_size() == 1


def test_train_once_refine_train_again():
    target = jnp.array([1.0, -2.0, 3.0])

    def train(schedule):
        optimizer = optax.chain(
            record_gradient_norms(),
            optax.sgd(0.2),
            optax.scale_by_schedule(schedule),
        )

        def step(carry, noise):
            x, state = carry
            updates, state = optimizer.update(x - target + noise, state)
            return (optax.apply_updates(x, updates), state), None

        x = jnp.zeros(3)
        noise = jax.random.normal(jax.random.key(0), (200, 3))
        return jax.lax.scan(step, (x, optimizer.init(x)), noise)[0]

    _, state = train(optax.constant_schedule(1.0))
    norms = recorded_gradient_norms(state)
    assert norms.shape == (200,)
    x, _ = train(refine_schedule(norms))
    assert float(jnp.linalg.norm(x - target)) < 0.5
    values = refinement_arrays(norms).values
    assert 0 < values.argmax() < 100  # the norms fall from the start to the noise


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm": "max"}, "norm must be 'l1' or 'l2', got 'max'"),
        ({"buffer_size": 7}, "buffer_size must be even.* got 7"),
        ({"buffer_size": 0}, "buffer_size must be an integer of at least 1"),
        ({"buffer_size": 4.0}, "buffer_size must be an integer"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        record_gradient_norms(**arguments)


def test_a_state_of_another_buffer_size():
    state = record_gradient_norms(buffer_size=4).init(jnp.ones(2))
    with pytest.raises(ValueError, match="buffer_size is 6 here, but was 4"):
        record_gradient_norms(buffer_size=6).update(jnp.ones(2), state)


def test_reading_what_is_no_state():
    params = jnp.ones(2)
    link = record_gradient_norms()
    with pytest.raises(ValueError, match="found 0"):
        recorded_gradient_norms(optax.sgd(0.1).init(params))
    with pytest.raises(ValueError, match="found 2"):
        recorded_gradient_norms(optax.chain(link, link).init(params))
    plain = link.init(params)._asdict()
    assert set(plain) == set(GradientNormsState._fields)
    with pytest.raises(ValueError, match="plain dictionary"):
        recorded_gradient_norms([plain])
    with pytest.raises(ValueError, match="restore a checkpoint with a target"):
        recorded_gradient_norms([list(plain.values())])
    with pytest.raises(ValueError, match=r"being traced.* outside of jax\.jit"):
        jax.jit(recorded_gradient_norms)(link.init(params))
