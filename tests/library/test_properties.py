"""Hostile inputs: nothing crashes, nothing turns NaN, no drop without information.

`make test` tries a few examples of each property, `make test-slow` five hundred.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import event
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from reference import Algorithm1, angle
from slow import property_of

from autodrop_optax import angle_between, end_epoch, epoch_autodrop, with_epoch_autodrop

# Over 180 degrees, the change from straight on to straight back: always saturated.
EAGER = {"threshold": 200.0, "max_threshold": 200.0}
DTYPES = ("float32", "float16", "bfloat16")
INT_MAX = 2**31 - 1


def inexact(tree):
    return [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]


def finite(tree):
    return all(np.all(np.isfinite(np.asarray(x, np.complex128))) for x in inexact(tree))


def flat(tree):
    wide = [np.ravel(np.asarray(x, np.complex128)) for x in inexact(tree)]
    both = np.concatenate(wide) if wide else np.zeros(0, np.complex128)
    return np.concatenate([both.real, both.imag])


# --- Any tree ------------------------------------------------------------------------


@st.composite
def leaves(draw):
    kind = draw(st.sampled_from([*DTYPES, "complex64", "int32", "bool", "none"]))
    if kind == "none":
        return None
    shape = draw(st.sampled_from([(), (1,), (0,), (3,), (2, 3), (0, 4)]))
    return jnp.ones(shape, kind)


trees = st.recursive(
    leaves(),
    lambda child: st.one_of(
        st.lists(child, max_size=3),
        st.dictionaries(st.sampled_from("abc"), child, max_size=3),
        st.tuples(child, child),
    ),
    max_leaves=5,
).filter(lambda tree: inexact(tree))


@property_of(trees, st.sampled_from([1e-3, 1.0, 100.0]), st.booleans(), few=1)
def test_any_tree_with_something_inexact_in_it(tree, scale, averaging):
    """Structure, shapes and dtypes stay; so does what is no parameter."""
    rng = np.random.default_rng(0)

    def moved(x):
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            return x
        step = jnp.asarray(rng.normal(size=x.shape) * scale, jnp.float32)
        return x + step.astype(x.dtype)

    # Not compiled: every example has another structure.
    with jax.disable_jit():
        link = epoch_autodrop(0.1, **EAGER, drop_delay=2, averaging=averaging)
        params, state, informed = tree, link.init(tree), True
        for _ in range(4):
            start = flat(params)
            before = params = jax.tree.map(moved, params)
            informed &= np.any(flat(params) != start)
            params, new = end_epoch(params, state)
            chex.assert_trees_all_equal_shapes_and_dtypes(new, state)
            chex.assert_trees_all_equal_shapes_and_dtypes(params, before)
            state = new
            for x, y in zip(
                jax.tree.leaves(params), jax.tree.leaves(before), strict=True
            ):
                if not jnp.issubdtype(x.dtype, jnp.inexact):
                    np.testing.assert_array_equal(x, y)
            assert finite(params)
    # A trigger after the third epoch, the drop after the fourth; or no information, for
    # want of elements or because the steps were lost in rounding.
    assert int(state.num_drops) == (1 if informed else 0)


@pytest.mark.slow
def test_a_thousand_leaves():
    rng = np.random.default_rng(0)
    # On a mesh of one device small leaves are measured as one. Compiling a reduction
    # for each would take minutes.
    mesh = jax.make_mesh((1,), ("x",), axis_types=(AxisType.Auto,))
    shapes = [(), (3,), (2, 2), (0,)]
    tree = {str(i): jnp.ones(shapes[i % 4]) for i in range(1000)}
    tree = jax.device_put(tree, NamedSharding(mesh, P()))
    link = epoch_autodrop(0.1, **EAGER, drop_delay=1)
    state = jax.jit(link.init)(tree)
    auto = Algorithm1(flat(tree), 0.1, theta_0=200.0, theta_max=200.0, n_d=1)
    for _ in range(4):
        tree = jax.tree.map(
            lambda x: x + rng.normal(size=x.shape).astype(np.float32), tree
        )
        auto.end_epoch(flat(tree))
        tree, state = end_epoch(tree, state)
    np.testing.assert_allclose(
        float(state.angles[-1]), np.nan_to_num(auto.w[-1], nan=np.inf), atol=1e-3
    )
    assert int(state.num_drops) == auto.drops == 2


# --- Any course of events ------------------------------------------------------------

EVENTS = ("move", "rest", "nan", "inf", "jump")


def template(dtype):
    return {
        "w": jnp.linspace(-1, 1, 12, dtype=jnp.float32).reshape(3, 4).astype(dtype),
        "b": jnp.ones((), dtype),
        "empty": jnp.zeros((0, 2), dtype),
        "count": jnp.arange(3),
        "nothing": None,
    }


def happen(what, params, rng):
    """The parameters after an epoch in which something happened."""
    if what == "rest":
        return params
    size = {"move": 0.1, "jump": 30.0}.get(what, 0.1)

    def moved(x):
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            return x
        x = (np.asarray(x, np.float64) + size * rng.normal(size=x.shape)).astype(
            x.dtype
        )
        if what in ("nan", "inf") and x.size > 1:
            x.flat[rng.integers(x.size)] = np.nan if what == "nan" else np.inf
        return jnp.asarray(x)

    return jax.tree.map(moved, params)


@property_of(
    st.lists(st.sampled_from(EVENTS), min_size=6, max_size=16),
    st.sampled_from(DTYPES),
    st.sampled_from([{}, {"n_d": 3}, {"n_d": 3, "averaging": False}, {"window": 2}]),
    st.integers(0, 2**16),
)
def test_any_course_of_events_goes_as_in_the_reference(events, dtype, options, seed):
    """Also after NaN and infinity in the parameters, at any epoch."""
    rng = np.random.default_rng(seed)
    options = {"n_d": 1} | options
    names = {"n_d": "drop_delay"}
    keywords = {names.get(k, k): v for k, v in options.items()}
    link = epoch_autodrop(0.1, **EAGER, **keywords)
    params = template(dtype)
    state = link.init(params)
    auto = Algorithm1(flat(params), 0.1, theta_0=200.0, theta_max=200.0, **options)
    good = params
    for what in events:
        params = happen(what, good, rng)
        event(what)
        before = int(state.num_drops)
        expected = auto.end_epoch(flat(params))
        end, state = end_epoch(params, state)
        assert int(state.num_drops) == auto.drops
        assert int(state.delay_count) == auto.k
        np.testing.assert_allclose(
            state.angles[-1], np.nan_to_num(auto.w[-1], nan=np.inf), atol=2e-2
        )
        if what in ("nan", "inf"):
            assert int(state.num_drops) == before
            chex.assert_trees_all_equal(end, params)
            continue  # the user goes back to the last good parameters
        assert finite(end)
        tolerance = 1e-5 if dtype == "float32" else 2e-2
        np.testing.assert_allclose(flat(end), expected, rtol=tolerance, atol=tolerance)
        # What the library rounded is where both go on from.
        good = end
        auto.y = flat(end)


# --- Any gradients -------------------------------------------------------------------

GRADIENTS = ("noise", "zero", "nan", "inf", "huge", "tiny")
STEPS = 2


def gradient(kind, params, rng):
    size = {"zero": 0.0, "huge": 1e4, "tiny": 1e-7}.get(kind, 1.0)

    def draw(x):
        g = (size * rng.normal(size=x.shape)).astype(x.dtype)
        if kind in ("nan", "inf"):
            g = np.full_like(g, np.nan if kind == "nan" else np.inf)
        return jnp.asarray(g)

    return jax.tree.map(draw, params)


OPTIMIZERS = {
    dtype: {
        "link": optax.chain(
            optax.sgd(1e-3),
            epoch_autodrop(1e-3, **EAGER, drop_delay=2, averaging=False),
        ),
        "wrapper": with_epoch_autodrop(
            optax.sgd(1e-3), 1e-3, STEPS, **EAGER, drop_delay=2, averaging=False
        ),
    }
    for dtype in DTYPES
}
UPDATES = {
    dtype: {name: jax.jit(o.update) for name, o in both.items()}
    for dtype, both in OPTIMIZERS.items()
}


@property_of(
    st.lists(st.sampled_from(GRADIENTS), min_size=8, max_size=24),
    st.sampled_from(DTYPES),
    st.integers(0, 2**16),
)
def test_any_gradients_in_every_way_alike(kinds, dtype, seed):
    """And parameters that were finite stay so, unless a gradient was not."""
    with jax.numpy_dtype_promotion("standard"):
        start = {"w": jnp.ones((2, 3), dtype), "b": jnp.zeros(2, dtype)}
        outcomes = {}
        for name, optimizer in OPTIMIZERS[dtype].items():
            rng = np.random.default_rng(seed)
            params, state, drops, broken = start, optimizer.init(start), [], False
            for i, kind in enumerate(kinds):
                g = gradient(kind, params, rng)
                updates, state = UPDATES[dtype][name](g, state, params)
                params = optax.apply_updates(params, updates)
                ends = i % STEPS == STEPS - 1
                if ends and name == "link":
                    params, state = end_epoch(params, state)
                broken |= kind in ("nan", "inf")
                assert broken or finite(params)
                if ends:
                    drops.append(int(state[1].num_drops))
                    if broken:  # nothing was decided; the user starts from good ones
                        assert drops[-1] == (drops[-2] if len(drops) > 1 else 0)
                        params, broken = start, False
            assert all(np.diff(drops) >= 0)
            for leaf in inexact((state[1].anchor, state[1].previous_step)):
                assert np.all(np.isfinite(np.asarray(leaf, np.float64)))
            outcomes[name] = drops
        assert outcomes["link"] == outcomes["wrapper"]


def test_a_rate_of_zero_gives_no_angle_and_no_drop():
    schedule = optax.join_schedules(
        [optax.constant_schedule(0.0), optax.constant_schedule(0.1)], [6]
    )
    optimizer = with_epoch_autodrop(optax.sgd(schedule), 0.1, 1, **EAGER, drop_delay=1)
    params = jnp.ones(4)
    state = optimizer.init(params)
    drops = []
    for i in range(12):
        draw = jax.random.normal(jax.random.key(i), (4,))
        updates, state = jax.jit(optimizer.update)(draw, state, params)
        params = optax.apply_updates(params, updates)
        drops.append(int(state[1].num_drops))
    assert drops[:8] == [0] * 8  # six at rest, then two angles for a change of one
    assert drops[8:] == [1, 2, 3, 4]


# --- Any counters --------------------------------------------------------------------

counters = st.sampled_from([0, 1, 2, INT_MAX - 1, INT_MAX])


@property_of(counters, counters, counters, counters, st.booleans())
def test_counters_never_wrap(epoch, num_drops, delay_count, step, dropping):
    """At the largest integer they stay there."""
    link = epoch_autodrop(0.1, **EAGER, drop_delay=3)
    params = jnp.arange(4.0)
    state = link.init(params)._replace(
        epoch=jnp.int32(epoch),
        num_drops=jnp.int32(num_drops),
        delay_count=jnp.int32(delay_count),
        dropping=jnp.asarray(dropping),
    )
    for i in range(5):
        params, new = end_epoch(params + i + jnp.array([1.0, i, 0.0, -i]), state)
        assert int(new.epoch) == min(int(state.epoch) + 1, INT_MAX)
        assert int(new.num_drops) >= int(state.num_drops)
        assert int(new.delay_count) >= 0
        assert np.all(np.isfinite(params))
        state = new
    counting = epoch_autodrop(0.1, steps_per_epoch=2, averaging=False)
    wrapper = with_epoch_autodrop(optax.sgd(0.1), 0.1, 2)
    for optimizer in (counting, wrapper):
        state = optimizer.init(params)
        auto = state if optimizer is counting else state[1]
        auto = auto._replace(step=jnp.int32(step))
        state = auto if optimizer is counting else (state[0], auto)
        for _ in range(3):
            _, state = optimizer.update(params, state, params)
        auto = state if optimizer is counting else state[1]
        assert 0 <= int(auto.step) <= 2
        assert int(auto.epoch) >= 1


# --- Any norms -----------------------------------------------------------------------

NORMS = {
    "float32": [1e-35, 1e-20, 1.0, 1e20, 1e35],
    "bfloat16": [1e-35, 1e-20, 1.0, 1e20, 1e35],
    "float16": [1e-3, 1.0, 1e3],
}


@property_of(
    st.sampled_from(DTYPES).flatmap(
        lambda d: st.tuples(
            st.just(d), st.sampled_from(NORMS[d]), st.sampled_from(NORMS[d])
        )
    ),
    st.sampled_from([1e-3, 0.1, 1.0, 10.0]),
    st.booleans(),
    st.integers(0, 2**16),
)
def test_any_norms_and_any_angle(drawn, spread, opposite, seed):
    """Within 1e-3 degrees of float64, for what the dtype holds of the vectors."""
    dtype, a_norm, b_norm = drawn
    rng = np.random.default_rng(seed)
    a = rng.normal(size=64)
    b = (a + spread * rng.normal(size=64)) * (-1 if opposite else 1)
    a, b = (jnp.asarray((x * n).astype(np.float32)).astype(dtype)
            for x, n in ((a, a_norm), (b, b_norm)))  # fmt: skip
    expected = angle(np.asarray(a, np.float64), np.asarray(b, np.float64))
    assert float(angle_between(a, b)) == pytest.approx(expected, abs=1e-3)


@property_of(st.sampled_from(DTYPES), st.sampled_from([0.0, np.nan, np.inf, -np.inf]))
def test_no_direction_no_angle(dtype, value):
    a = jnp.ones(8, dtype)
    b = jnp.full(8, value, dtype)
    assert np.isnan(float(angle_between(a, b)))
    assert np.isnan(float(angle_between(b, a)))
