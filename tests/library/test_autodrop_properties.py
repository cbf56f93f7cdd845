"""What holds of autodrop whatever the motion and the settings.

`make test` tries a few examples of each property, `make test-slow` five hundred.
"""

import functools
import tempfile
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from autodrop_runs import SIZE, STEPS, arrays, motion, settings, watch, watch_reference
from hypothesis import assume
from hypothesis import strategies as st
from slow import property_of

from autodrop_optax import autodrop

seeds = st.integers(0, 2**16)
# Degrees: nearer to the mark another order of summation may decide otherwise.
MARGIN = 0.1
UNCERTAINTY = 0.05


@functools.cache
def watched(motion_seed, settings_seed):
    start, path = motion(motion_seed)
    return watch(start, path, **settings(settings_seed))


def far_from_the_mark(course, options):
    mark = arrays(options)["max_angle"]
    return np.all(np.abs(course.angles[:, 1] - mark) > MARGIN)


def assert_same_decisions(course, other):
    np.testing.assert_array_equal(course.scale, other.scale)
    np.testing.assert_allclose(course.angles, other.angles, atol=UNCERTAINTY)


# --- The rate ------------------------------------------------------------------------


@property_of(seeds, seeds)
def test_no_drop_before_the_run_is_twice_as_long(motion_seed, settings_seed):
    """And so, as each is by half, the scale falls no faster than one over the steps."""
    course = watched(motion_seed, settings_seed)
    drops = np.array(course.drops)
    assert np.all(drops[1:] >= 2 * drops[:-1])
    options = settings(settings_seed)
    steps = np.arange(1, STEPS + 1)
    if options["rho"] == 0.5 and len(drops):
        assert np.all(course.scale >= np.minimum(1, drops[0] / (2 * steps)))
    assert np.all(np.diff(course.scale) <= 0)
    assert np.all(course.scale >= np.float32(options["scale_min"]))


# --- The parameters ------------------------------------------------------------------


@property_of(seeds, seeds, st.integers(-20, 20))
def test_a_power_of_two_scales_every_bit(motion_seed, settings_seed, exponent):
    course = watched(motion_seed, settings_seed)
    factor = np.float32(2.0**exponent)
    start, path = motion(motion_seed)
    scaled = watch(factor * start, factor * path, **settings(settings_seed))
    np.testing.assert_array_equal(scaled.average, factor * course.average)
    trees = ("average", "anchor", "previous_step")
    for name in set(course.state._fields) - set(trees):
        a, b = getattr(scaled.state, name), getattr(course.state, name)
        chex.assert_trees_all_equal(a, b)


@property_of(seeds, seeds, seeds)
def test_neither_order_nor_axes_matter(motion_seed, settings_seed, seed):
    options, rng = settings(settings_seed), np.random.default_rng(seed)
    course = watched(motion_seed, settings_seed)
    assume(far_from_the_mark(course, options))
    start, path = motion(motion_seed)
    order = rng.permutation(SIZE)
    assert_same_decisions(course, watch(start[order], path[:, order], **options))
    axes = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0].astype(np.float32)
    assert_same_decisions(course, watch(start @ axes, path @ axes, **options))


def in_leaves(x):
    """The same parameters in other leaves, among some that do not move."""
    return {
        "kernel": x[:12].reshape(3, 4),
        "more": [x[12:19], (x[19], None)],
        "frozen": jnp.linspace(1, 2, 7),
        "empty": jnp.zeros((0, 3)),
        "count": jnp.arange(3),
        "flag": jnp.array([True, False]),
        "key": jax.random.key(0),
    }


@property_of(seeds, seeds)
def test_other_leaves_and_company_do_not_matter(motion_seed, settings_seed):
    options = settings(settings_seed)
    course = watched(motion_seed, settings_seed)
    assume(far_from_the_mark(course, options))
    start, path = motion(motion_seed)
    other = watch(in_leaves(start), path, of=in_leaves, **options)
    assert_same_decisions(course, other)
    kernel, more = other.average["kernel"], other.average["more"]
    parts = kernel.reshape(STEPS, 12), more[0], more[1][0][:, None]
    size = np.abs(path).max()
    np.testing.assert_allclose(
        np.concatenate(parts, axis=1), course.average, rtol=0, atol=1e-6 * size
    )
    for name in ("frozen", "count", "flag"):
        kept = other.average[name][-1]
        np.testing.assert_array_equal(kept, in_leaves(start)[name])


# --- Values that are not finite ------------------------------------------------------


@property_of(
    seeds,
    seeds,
    st.lists(
        st.tuples(
            st.integers(0, STEPS - 1),
            st.sets(st.integers(0, SIZE - 1), min_size=1),
            st.sampled_from([np.nan, np.inf, -np.inf]),
        ),
        max_size=6,
    ),
)
def test_what_is_not_finite_is_left_out(motion_seed, settings_seed, events):
    """Element by element, in the start too; and no state holds a NaN."""
    start, path = motion(motion_seed)
    start[3], path[0, :5] = np.nan, np.inf
    for step, elements, value in events:
        path[step, sorted(elements)] = value
    options = settings(settings_seed)
    reference, scale, average = watch_reference(start, path, **options)
    assume(reference.margin > MARGIN)
    course = watch(start, path, **options)
    np.testing.assert_array_equal(course.scale, scale.astype(np.float32))
    np.testing.assert_allclose(course.average, average, rtol=0, atol=1e-3)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(course.state))
    # Elements that were always finite do not know of the others, between drops.
    options["w_max"] = 180.0
    clean = np.all(np.isfinite(path), axis=0) & np.isfinite(start)
    spoilt = watch(start, path, **options).average[:, clean]
    plain = watch(*motion(motion_seed), **options).average[:, clean]
    np.testing.assert_array_equal(spoilt, plain)


# --- A run cut in two ----------------------------------------------------------------

CUT_STEPS = 200
EARLY = {"first_check": 4, "max_angle": 60.0, "patience": 1}  # drops from step 9 on
optimizer = optax.chain(optax.sgd(0.5, momentum=0.5), autodrop(**EARLY))


@functools.partial(jax.jit, donate_argnums=0)
def train_until(training, end):
    """Noisy gradients of a quadratic; the data follow from the position."""

    def step(training):
        params, state, i = training
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), i), (SIZE,))
        updates, state = optimizer.update({"w": params["w"] + noise}, state, params)
        return optax.apply_updates(params, updates), state, i + jnp.int32(1)

    return jax.lax.while_loop(lambda training: training[2] < end, step, training)


def fresh():
    params = {"w": jnp.full(SIZE, 3.0)}
    return params, optimizer.init(params), jnp.zeros((), jnp.int32)


def checkpointed(training):
    """What a new process would get of it."""
    target = jax.tree.map(ocp.utils.to_shape_dtype_struct, fresh())
    with (
        tempfile.TemporaryDirectory() as directory,
        ocp.StandardCheckpointer() as checkpointer,
    ):
        checkpointer.save(Path(directory) / "checkpoint", training)
        checkpointer.wait_until_finished()
        return checkpointer.restore(Path(directory) / "checkpoint", target)


@property_of(st.integers(0, CUT_STEPS), few=4, many=100)
def test_a_run_cut_in_two_by_a_checkpoint_is_the_same_run(cut):
    whole = train_until(fresh(), CUT_STEPS)
    half = train_until(fresh(), cut)
    resumed = train_until(checkpointed(half), CUT_STEPS)
    assert int(whole[1][1].num_drops) >= 4
    for x, y in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True):
        assert x.dtype == y.dtype
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


# --- Counters ------------------------------------------------------------------------

INT_MAX = 2**31 - 1
counters = st.sampled_from([0, 1, 2, INT_MAX - 1, INT_MAX])
update = jax.jit(optimizer.update)


@property_of(*[counters] * 5, st.sampled_from([64.0, 2.0**32, 2.0**40]))
def test_counters_never_wrap(steps, n, since_sample, num_checks, num_drops, time):
    """At the largest integer they stay, and so long a phase has no more checks."""
    params, (first, state), _ = fresh()
    state = state._replace(
        steps=jnp.int32(steps),
        steps_since_drop=jnp.int32(n),
        steps_since_sample=jnp.int32(since_sample),
        num_checks=jnp.int32(num_checks),
        num_drops=jnp.int32(num_drops),
        check_time=jnp.float32(time),
    )
    for i in range(3):
        _, (first, new) = update(params, (first, state), {"w": params["w"] + i})
        assert int(new.steps) == min(int(state.steps) + 1, INT_MAX)
        of_phase = new.steps_since_drop, new.steps_since_sample, new.num_checks
        assert all(int(count) >= 0 for count in of_phase)
        assert int(new.num_drops) >= int(state.num_drops)
        if time > INT_MAX:
            assert int(new.num_checks) == num_checks
        assert 0 < int(new.metrics()["next_check"]) <= INT_MAX
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(new))
        state = new
