"""The state in a chosen dtype and in the host's memory."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from chains import EAGER, HOST, HOST_KIND
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from reference import angle
from slow import slow_but

from autodrop_optax import end_epoch, epoch_autodrop, with_epoch_autodrop

STEPS = 3


def link(**keywords):
    return optax.chain(optax.sgd(0.1, momentum=0.9), epoch_autodrop(0.1, **keywords))


def wrapper(**keywords):
    return with_epoch_autodrop(optax.sgd(0.1, momentum=0.9), 0.1, STEPS, **keywords)


def counting(**keywords):
    keywords = keywords | {"averaging": False, "steps_per_epoch": STEPS}
    return optax.chain(optax.sgd(0.1, momentum=0.9), epoch_autodrop(0.1, **keywords))


WAYS = {"link": link, "wrapper": wrapper, "counting": counting}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


def make_params(dtype=jnp.float32):
    return {
        "kernel": jnp.linspace(-1, 1, 24, dtype=jnp.float32)
        .reshape(4, 6)
        .astype(dtype),
        "bias": jnp.ones(4, dtype),
    }


def train(way, params, epochs=9, jit=True, donate=False, **keywords):
    """Yields parameters and state after every epoch."""
    optimizer = way(**EAGER | keywords)

    def step(params, state, key):
        gradients = jax.tree.map(
            lambda p: 0.1 * p + jax.random.normal(key, p.shape, p.dtype), params
        )
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    def compiled(function):
        argnums = (0, 1) if donate else ()
        return jax.jit(function, donate_argnums=argnums) if jit else function

    step, end = compiled(step), compiled(end_epoch)
    state = (jax.jit(optimizer.init) if jit else optimizer.init)(params)
    params = jax.tree.map(jnp.copy, params)
    for epoch in range(epochs):
        for i in range(STEPS):
            key = jax.random.key(epoch * STEPS + i)
            params, state = step(params, state, key)
        if way is link:
            params, state = end(params, state)
    return params, state


def trees(state):
    auto = state[1]
    return [t for t in (auto.anchor, auto.previous_step, auto.average) if t is not None]


def kinds(state):
    return {x.sharding.memory_kind for t in trees(state) for x in jax.tree.leaves(t)}


# --- Memory --------------------------------------------------------------------------


MODES = {
    f"{mode}-{name}": (way, mode)
    for name, way in WAYS.items()
    for mode in ("jit", "eager", "donated")
}


@pytest.mark.parametrize(("way", "mode"), slow_but(MODES, "eager-link"))
def test_in_the_hosts_memory_nothing_changes_but_the_place(way, mode):
    keywords = {"jit": mode != "eager", "donate": mode == "donated"}
    params, state = train(way, make_params(), **keywords)
    host_params, host_state = train(way, make_params(), **keywords, **HOST)
    chex.assert_trees_all_equal(host_params, params)
    assert kinds(state) == {"device"}
    assert kinds(host_state) == {HOST_KIND}
    for here, there in zip(trees(state), trees(host_state), strict=True):
        chex.assert_trees_all_equal(jax.device_get(there), jax.device_get(here))
    assert int(host_state[1].num_drops) == int(state[1].num_drops) >= 3
    # Everything else stays where it is needed at every step.
    assert host_state[1].rate_scale.sharding.memory_kind == "device"


@ways
def test_the_hosts_memory_in_types(way):
    optimizer = way(**HOST)
    found = []

    @jax.jit
    def update(params):
        state = optimizer.init(params)
        for _ in range(2):
            leaves = jax.tree.leaves(trees(state))
            found.extend(jax.typeof(x).memory_space for x in leaves)
            _, state = optimizer.update(params, state, params)

    update(make_params())
    assert set(found) == {jax.memory.Space.Host}


@pytest.mark.parametrize("way", slow_but({"link": link, "wrapper": wrapper}, "link"))
def test_sharded_in_the_hosts_memory(way):
    mesh = jax.make_mesh((2,), ("x",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, P("x"))
    params, _ = train(way, make_params())
    placed = jax.device_put(make_params(), sharding)
    there, state = train(way, placed, **HOST)
    chex.assert_trees_all_close(there, params, rtol=1e-5, atol=1e-5)
    assert kinds(state) == {HOST_KIND}
    for tree in trees(state):
        for x in jax.tree.leaves(tree):
            assert x.sharding.spec == P("x")


@pytest.mark.slow
def test_vmap_with_the_hosts_memory():
    def run(seed):
        optimizer = epoch_autodrop(0.1, **EAGER, **HOST)
        params = jnp.ones(4)
        state = optimizer.init(params)
        for i in range(5):
            key = jax.random.fold_in(jax.random.key(seed), i)
            params, state = end_epoch(params + jax.random.normal(key, (4,)), state)
        return params, state.angles

    batched = jax.jit(jax.vmap(run))(jnp.arange(2))
    alone = jax.jit(run)(1)
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[1], batched), alone, rtol=1e-5)


# --- Dtypes --------------------------------------------------------------------------


DTYPES = {
    f"{state_dtype}-of-{dtype}-{name}": (way, state_dtype, dtype)
    for name, way in WAYS.items()
    for state_dtype in ("bfloat16", "float16", "float32", "float64")
    for dtype in ("bfloat16", "float32")
}


@pytest.mark.parametrize(
    ("way", "state_dtype", "dtype"),
    slow_but(
        DTYPES,
        *("bfloat16-of-float32-link", "float64-of-float32-link"),
        "float32-of-bfloat16-wrapper",
    ),
)
def test_the_dtypes_are_those_asked_for(way, state_dtype, dtype):
    with jax.enable_x64(state_dtype == "float64"):
        params, state = train(way, make_params(dtype), state_dtype=state_dtype)
        assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype(dtype)}
        for tree in trees(state):
            assert {x.dtype for x in jax.tree.leaves(tree)} == {jnp.dtype(state_dtype)}
        assert int(state[1].num_drops) >= 3
        assert np.all(np.isfinite(params["kernel"].astype(jnp.float32)))


def test_complex_leaves_are_left_alone():
    params = {"c": jnp.ones(3, jnp.complex64), "f": jnp.ones(3)}
    state = epoch_autodrop(0.1, state_dtype=jnp.bfloat16).init(params)
    assert state.anchor["c"].dtype == jnp.complex64
    assert state.anchor["f"].dtype == jnp.bfloat16


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_angle_is_that_of_the_rounded_parameters(dtype):
    rng = np.random.default_rng(0)
    path = np.cumsum(rng.normal(size=(6, 500)) * 0.1, axis=0).astype(np.float32) + 2
    state = epoch_autodrop(0.1, state_dtype=dtype).init(jnp.asarray(path[0]))
    found = []
    for x in path[1:]:
        _, state = end_epoch(jnp.asarray(x), state)
        found.append(float(state.angles[-1]))
    rounded = path.astype(dtype).astype(np.float64)
    steps = np.diff(rounded, axis=0)
    # The previous step is rounded once more where it is kept.
    kept = steps.astype(np.float32).astype(dtype).astype(np.float64)
    expected = [np.inf] + [angle(b, a) for a, b in zip(kept, steps[1:], strict=False)]
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize(
    "dtype",
    slow_but({"bfloat16": "bfloat16", "float16": "float16", "None": None}, "bfloat16"),
)
@pytest.mark.parametrize("jit", [True, False], ids=["jit", "eager"])
def test_parameters_at_rest_have_no_angle(dtype, jit):
    # Rounded once and not the next time they would seem to move, always the same way.
    optimizer = epoch_autodrop(0.1, **EAGER, state_dtype=dtype)
    params = {"w": jnp.full(100, 1.001)}
    state = optimizer.init(params)
    end = jax.jit(end_epoch) if jit else end_epoch
    for _ in range(8):
        params, state = end(params, state)
    assert np.all(np.isposinf(state.angles))
    assert int(state.num_drops) == 0


def test_the_average_of_narrow_copies_is_near_the_exact_one():
    def last(dtype):
        params, _ = train(link, make_params(), epochs=4, state_dtype=dtype)
        return params["kernel"]

    exact, rounded = last(None), last(jnp.bfloat16)
    error = np.abs(rounded - exact) / np.abs(exact).max()
    assert 0 < error.max() < 2**-7


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        pytest.param({"state_dtype": jnp.int8}, "floating point", id="int"),
        pytest.param({"state_dtype": jnp.complex64}, "floating point", id="complex"),
        pytest.param({"state_dtype": "bf16"}, "jnp.bfloat16", id="unknown"),
        pytest.param({"state_dtype": "float8_e4m3fn"}, "16 bits or more", id="float8"),
        pytest.param({"state_dtype": "float64"}, "jax_enable_x64", id="no-x64"),
        pytest.param({"state_dtype": jnp.ones(())}, "static_args", id="injected"),
        pytest.param({"state_memory_kind": "host"}, "'pinned_host'", id="memory"),
    ],
)
def test_bad_storage_is_named(keywords, message):
    with pytest.raises(ValueError, match=message):
        epoch_autodrop(0.1, **keywords)
