"""The state of autodrop: what it is made of, where it lives, what may be done to it."""

import inspect
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from autodrop_runs import EAGER, EAGER_DROPS
from chains import HOST, HOST_KIND
from compilations import assert_only_the_first_update_compiles
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from slow import slow_but

from autodrop_optax import AutoDropState, autodrop, autodrop_metrics
from autodrop_optax._autodrop import HISTORY, AutoDropHyperparams

STEPS = 13
DROPS = sum(n <= STEPS for n in EAGER_DROPS)
TREES = ("average", "anchor", "previous_step")


def make_params():
    return {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(8)}


def make_optimizer(**keywords):
    return optax.chain(optax.sgd(0.1, momentum=0.9), autodrop(**EAGER | keywords))


def step_of(optimizer):
    def step(params, state, i):
        key = jax.random.fold_in(jax.random.key(0), i)
        gradients = jax.tree.map(
            lambda x: x + jax.random.normal(key, x.shape, x.dtype), params
        )
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    return step


def run(optimizer, params=None, steps=STEPS, jit=False):
    params = make_params() if params is None else params
    step = jax.jit(step_of(optimizer)) if jit else step_of(optimizer)
    state = optimizer.init(params)
    for i in range(steps):
        params, state = step(params, state, i)
    return params, state


# --- What it is made of --------------------------------------------------------------


@pytest.mark.parametrize("kind", [AutoDropState, AutoDropHyperparams])
def test_the_comments_beside_the_fields_are_true(kind):
    _, (_, state) = run(make_optimizer())
    if kind is AutoDropHyperparams:
        state = state.hyperparams
    pattern = r"^    (\w+): jax\.Array  # shape \(([\d, ]*)\), (\w+)"
    noted = re.findall(pattern, inspect.getsource(kind), flags=re.MULTILINE)
    trees = {*TREES, "hyperparams"} if kind is AutoDropState else set()
    assert {name for name, *_ in noted} | trees == set(kind._fields)
    for name, shape, dtype in noted:
        value = getattr(state, name)
        assert value.shape == tuple(int(n) for n in re.findall(r"\d+", shape)), name
        assert value.dtype == dtype, name


@pytest.mark.parametrize(
    "keywords",
    [{}, {"state_dtype": "bfloat16"}, pytest.param(HOST, marks=pytest.mark.slow)],
)
def test_it_never_changes(keywords):
    optimizer = make_optimizer(**keywords)
    _, (_, state) = run(optimizer)
    _, before = optimizer.init(make_params())
    chex.assert_trees_all_equal_shapes_and_dtypes(state, before)
    assert jax.tree.map(jax.typeof, state) == jax.tree.map(jax.typeof, before)
    assert int(state.num_drops) == DROPS
    for tree in TREES:
        narrow = tree == "previous_step" and "state_dtype" in keywords
        expected = jnp.bfloat16 if narrow else jnp.float32
        for x, p in zip(
            jax.tree.leaves(getattr(state, tree)),
            jax.tree.leaves(make_params()),
            strict=True,
        ):
            assert x.dtype == expected
            assert x.shape == p.shape


def test_the_history_keeps_the_latest_angles():
    link = autodrop(ratio=1.1, first_check=1, max_angle=180.0)
    state = link.init(jnp.ones(3))
    draws = jax.random.normal(jax.random.key(0), (200, 3))
    # With so small a ratio nearly every one of the first steps is a check.
    observe = jax.jit(link.update)
    for x in draws:
        _, state = observe(x, state, x)
    steps = np.asarray(state.angle_steps)
    count = int(np.sum(steps > 0))
    assert count == int(state.num_checks) - 2
    assert np.all(steps[:-count] == 0)
    assert np.all(np.diff(steps[-count:]) > 0)
    assert np.all(np.asarray(state.angles)[-count:] > 0)
    # Once it is full, the oldest makes room.
    ramp = np.arange(HISTORY)
    histories = {
        "angle_steps": jnp.asarray(ramp, jnp.int32),
        "angles": jnp.asarray(1000 + ramp, jnp.float32),
        "angle_scales": jnp.asarray(2000 + ramp, jnp.float32),
    }
    full = state._replace(**histories, check_time=jnp.float32(0))
    _, rolled = observe(draws[0], full, draws[0])
    for name, history in histories.items():
        np.testing.assert_array_equal(getattr(rolled, name)[:-1], history[1:])
    assert int(rolled.angle_steps[-1]) == 201
    assert 0 < float(rolled.angles[-1]) <= 180
    assert float(rolled.angle_scales[-1]) == 1


def test_a_value_that_is_not_finite_at_the_start():
    state = autodrop().init(jnp.array([1.0, jnp.nan, jnp.inf]))
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state))


def test_abstract_parameters():
    abstract = autodrop(**HOST).init(jax.ShapeDtypeStruct((2, 4), jnp.bfloat16))
    concrete = autodrop(**HOST).init(jnp.zeros((2, 4), jnp.bfloat16))
    chex.assert_trees_all_equal_shapes_and_dtypes(abstract, concrete)


def test_names_of_optax_still_find_one_value():
    plateau = optax.contrib.reduce_on_plateau()
    rate = optax.inject_hyperparams(optax.sgd)(0.1)
    state = optax.chain(rate, plateau, autodrop()).init(jnp.ones(2))
    assert float(optax.tree.get(state, "learning_rate")) == pytest.approx(0.1)
    assert float(optax.tree.get(state, "scale")) == 1.0


def test_map_params_finds_every_tree_like_the_parameters():
    optimizer, specs = make_optimizer(), {"kernel": "K", "bias": "B"}
    state = optax.tree.map_params(
        optimizer,
        lambda _, spec: spec,
        optimizer.init(make_params()),
        specs,
        transform_non_params=lambda _: "-",
    )[1]
    assert state.average == state.anchor == state.previous_step == specs
    others = jax.tree.leaves(state._replace(**dict.fromkeys(TREES)))
    assert set(others) == {"-"}


# --- Compilation, donation, debugging ------------------------------------------------


def test_one_compilation_and_donation():
    optimizer = make_optimizer()
    params = make_params()
    state = optimizer.init(params)
    step = jax.jit(step_of(optimizer), donate_argnums=(0, 1))
    for i in range(STEPS):
        given = [x for x in jax.tree.leaves((params, state)) if x.size >= 4]
        params, state = step(params, state, i)
        assert all(x.is_deleted() for x in given)  # reused, not copied
    assert step._cache_size() == 1
    assert int(state[1].num_drops) == DROPS


def test_without_jit_only_the_first_step_compiles():
    assert_only_the_first_update_compiles(make_optimizer())


@pytest.mark.parametrize("jit", [True, False], ids=["jit", "eager"])
def test_jax_debug_nans(jit):
    # At rest at first, so that there are displacements without an angle.
    schedule = optax.join_schedules(
        [optax.constant_schedule(0.0), optax.constant_schedule(0.1)], [8]
    )
    with jax.debug_nans(True):
        optimizer = optax.chain(optax.sgd(schedule), autodrop(**EAGER))
        _, state = run(optimizer, steps=30, jit=jit)
        assert int(autodrop_metrics(state)["num_drops"]) > 0
        run(make_optimizer(), {"nothing": jnp.zeros((0, 2))}, jit=jit)


# --- Where it lives ------------------------------------------------------------------


@pytest.mark.parametrize("jit", [True, False], ids=["jit", "eager"])
def test_in_the_hosts_memory_nothing_changes_but_the_place(jit):
    params, (_, state) = run(make_optimizer(), jit=jit)
    host_params, (_, host_state) = run(make_optimizer(**HOST), jit=jit)
    chex.assert_trees_all_equal(host_params, params)
    chex.assert_trees_all_equal(jax.device_get(host_state), jax.device_get(state))
    kinds = {
        name: {x.sharding.memory_kind for x in jax.tree.leaves(value)}
        for name, value in host_state._asdict().items()
    }
    on_host = {name for name in kinds if kinds[name] == {HOST_KIND}}
    if HOST_KIND != "device":
        assert on_host == {"anchor", "previous_step"}
    assert set().union(*kinds.values()) == {HOST_KIND, "device"}


def test_a_narrow_previous_step_does_not_hide_slow_motion():
    # As in fine-tuning: each step is far below what bfloat16 can tell from 1.
    link = autodrop(state_dtype="bfloat16", first_check=4)
    state = link.init(jnp.ones(64))
    observe = jax.jit(link.update)
    for i in range(30):
        x = jnp.linspace(1, 2, 64) * (1 + 1e-5 * i)
        _, state = observe(x, state, x)
    angles = np.asarray(state.angles)[np.asarray(state.angle_steps) > 0]
    assert len(angles) == 8
    assert np.all(angles < 5)


# --- Checkpoints ---------------------------------------------------------------------


def on_eight_devices():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    return {
        "kernel": NamedSharding(mesh, P()),
        "bias": NamedSharding(mesh, P("data")),
    }


@pytest.mark.parametrize(
    "there", slow_but({"one-to-eight": False, "eight-to-one": True}, "one-to-eight")
)
def test_moves_to_other_devices(there, tmp_path):
    optimizer = make_optimizer()
    near = {name: jax.devices()[0] for name in make_params()}
    near = jax.tree.map(jax.sharding.SingleDeviceSharding, near)
    far = on_eight_devices()
    start, end = (far, near) if there else (near, far)
    step = jax.jit(step_of(optimizer))

    def begin(places):
        params = jax.device_put(make_params(), places)
        return params, jax.jit(optimizer.init)(params)

    params, state = begin(start)
    for i in range(5):
        params, state = step(params, state, i)
    target = jax.tree.map(ocp.utils.to_shape_dtype_struct, begin(end))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "checkpoint", (params, state))
        checkpointer.wait_until_finished()
        moved_params, moved = checkpointer.restore(tmp_path / "checkpoint", target)
    for tree in TREES:
        for name, x in getattr(moved[1], tree).items():
            assert x.sharding.is_equivalent_to(end[name], x.ndim)
    chex.assert_trees_all_equal(jax.device_get(moved), jax.device_get(state))
    for i in range(5, STEPS):
        params, state = step(params, state, i)
        moved_params, moved = step(moved_params, moved, i)
        assert int(moved[1].num_drops) == int(state[1].num_drops)
    chex.assert_trees_all_close(
        jax.device_get(moved_params), jax.device_get(params), rtol=1e-5, atol=1e-6
    )
    assert int(state[1].num_drops) == DROPS


def test_the_constructor_wins_over_a_restored_state():
    _, (_, state) = run(make_optimizer())
    params = make_params()
    _, new = autodrop(max_angle=60.0, min_scale=0.5).update(params, state, params)
    metrics = autodrop_metrics(new)
    assert float(metrics["max_angle"]) == 60
    assert metrics["at_floor"]
    assert float(metrics["scale"]) == 1 / 8  # a floor never raises the rate


def test_parameters_beyond_the_previous_steps_dtype_have_an_angle():
    # float16 ends at 65,504; what is kept in it is how far the average has gone.
    points = 1e5 + np.random.default_rng(0).normal(size=(600, 20))
    link = autodrop(state_dtype=jnp.float16)

    def step(state, x):
        return link.update(x, state, x)[1], None

    points = jnp.asarray(points, jnp.float32)
    state, _ = jax.jit(lambda s: jax.lax.scan(step, s, points))(link.init(points[0]))
    assert state.num_drops > 0
    assert state.angles[-1] > 80
