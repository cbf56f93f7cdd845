"""What optax asks of every transformation in ``contrib``, asked of ours.

After ``optax/contrib/_common_test.py`` and ``optax/_src/sharding_test.py`` at optax's
head: the same demands, for every public constructor.
"""

import contextlib
import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from chains import types
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from slow import slow_but

from autodrop_optax import (
    AutoDropState,
    EpochAutoDropState,
    WindowedAutoDropState,
    autodrop,
    epoch_autodrop,
    windowed_autodrop,
    with_epoch_autodrop,
)
from autodrop_optax.refinement import GradientNormsState, record_gradient_norms

pytestmark = pytest.mark.usefixtures("standard_promotion")

# A drop at the end of every epoch from the third on, at every second with averaging.
EAGER = {"threshold": 180.0, "max_threshold": 180.0}
AVERAGING = {**EAGER, "drop_delay": 2}
PLAIN = {**EAGER, "drop_delay": 1, "averaging": False}
WINDOWS = {"window_steps": 2, "buffer_size": 2, "threshold": 180.0}
# A drop at steps 3, 6, 12, ..., to the floor.
CHECKS = {"max_angle": 1e-3, "patience": 1, "first_check": 1, "min_scale": 0.2}


def counting(rate):
    floor = rate / 5
    return epoch_autodrop(rate, steps_per_epoch=2, min_learning_rate=floor, **PLAIN)


def windowed(rate):
    return windowed_autodrop(rate, min_learning_rate=rate / 5, **WINDOWS)


CONSTRUCTORS = {
    "default-last": lambda rate=0.1: optax.chain(optax.sgd(rate), autodrop(**CHECKS)),
    "default-first": lambda rate=0.1: optax.chain(autodrop(**CHECKS), optax.sgd(rate)),
    "default-of-adamw": lambda rate=0.1: optax.chain(
        optax.adamw(rate), autodrop(**CHECKS)
    ),
    "link-last": lambda rate=0.1: optax.chain(
        optax.sgd(rate), epoch_autodrop(rate, **AVERAGING)
    ),
    "link-first": lambda rate=0.1: optax.chain(
        epoch_autodrop(rate, **PLAIN), optax.sgd(rate)
    ),
    "wrapper": lambda rate=0.1: with_epoch_autodrop(
        optax.sgd(rate), rate, 2, min_learning_rate=rate / 5, **AVERAGING
    ),
    "wrapper-of-adamw": lambda rate=0.1: with_epoch_autodrop(
        optax.adamw(rate), rate, 2, min_learning_rate=rate / 5, **AVERAGING
    ),
    "wrapper-without-averaging": lambda rate=0.1: with_epoch_autodrop(
        optax.sgd(rate, momentum=0.5), rate, 2, min_learning_rate=rate / 5, **PLAIN
    ),
    "counting-last": lambda rate=0.1: optax.chain(optax.sgd(rate), counting(rate)),
    "counting-first": lambda rate=0.1: optax.chain(counting(rate), optax.sgd(rate)),
    "windowed-last": lambda rate=0.1: optax.chain(optax.sgd(rate), windowed(rate)),
    "windowed-first": lambda rate=0.1: optax.chain(windowed(rate), optax.sgd(rate)),
    "recording-first": lambda rate=0.1: optax.chain(
        record_gradient_norms(buffer_size=4), optax.sgd(rate)
    ),
    "recording-last": lambda rate=0.1: optax.chain(
        optax.sgd(rate), record_gradient_norms("l1", buffer_size=2)
    ),
}
# One of each kind at every time; the same elsewhere in a chain, or with other
# settings, in `make test-slow`.
constructors = pytest.mark.parametrize(
    "make",
    slow_but(
        CONSTRUCTORS,
        "default-last",
        "link-last",
        "wrapper",
        "counting-last",
        "windowed-last",
        "recording-first",
    ),
)


def parabola(dtype):
    target = jnp.array([1.0, -1.0, 1.0], dtype)
    start = jnp.array([-1.0, 10.0, 1.0], dtype)
    return start, target, lambda x: jnp.sum(jnp.square(jnp.abs(x - target)))


def rosenbrock(dtype):
    target = jnp.ones(2, dtype)

    def loss(x):
        return jnp.square(1 - x[0]) + 100 * jnp.square(x[1] - jnp.square(x[0]))

    return jnp.zeros(2, dtype), target, loss


def mixed(dtype):
    target = jnp.array([1.0, -1.0, 2.0], dtype), jnp.array([[3.0, -2], [1, 4]], dtype)

    def loss(params):
        pairs = zip(params, target, strict=True)
        return sum(jnp.sum(jnp.square(x - y)) for x, y in pairs)

    return (jnp.zeros(3, dtype), jnp.zeros((2, 2), dtype)), target, loss


@constructors
def test_unexpected_extra_arguments_and_no_second_compilation(make):
    optimizer = make()
    params, _, loss = parabola(jnp.float32)

    @jax.jit
    def step(params, state):
        gradients = jax.grad(loss)(params)
        updates, state = optimizer.update(
            gradients, state, params, unexpected_argument=1
        )
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for _ in range(4):
        params, state = step(params, state)
    assert step._cache_size() == 1
    plain, _ = optimizer.update(params, state, params)
    updates, _ = optimizer.update(params, state, params, unexpected_argument=1)
    chex.assert_trees_all_equal(updates, plain)


@constructors
@pytest.mark.parametrize(
    "problem",
    slow_but({"parabola": parabola, "mixed": mixed, "rosenbrock": rosenbrock}, "mixed"),
)
def test_it_converges_and_map_params_knows_its_state(make, problem):
    optimizer = make(0.002 if problem is rosenbrock else 0.1)  # the valley is steep
    params, target, loss = problem(jnp.float32)
    state = optax.tree.map_params(optimizer, lambda x: x, optimizer.init(params))

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (params, state), length=30_000)
    chex.assert_trees_all_close(params, target, rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize(
    ("factory", "keywords"),
    [
        pytest.param(
            lambda learning_rate, max_angle, patience, first_check, min_scale: (
                optax.chain(
                    optax.scale(-learning_rate),
                    autodrop(
                        max_angle=max_angle,
                        patience=patience,
                        first_check=first_check,
                        min_scale=min_scale,
                    ),
                )
            ),
            CHECKS,
            id="default",
        ),
        pytest.param(epoch_autodrop, AVERAGING, id="link"),
        pytest.param(
            epoch_autodrop,
            PLAIN | {"steps_per_epoch": 1},
            id="counting",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            with_epoch_autodrop,
            AVERAGING | {"optimizer": optax.sgd(0.1), "steps_per_epoch": 1},
            id="wrapper",
        ),
        pytest.param(windowed_autodrop, WINDOWS | {"window_steps": 1}, id="windowed"),
        pytest.param(
            lambda learning_rate, norm, buffer_size: optax.chain(
                record_gradient_norms(norm, buffer_size=buffer_size),
                optax.scale(-learning_rate),
            ),
            {"norm": "l1", "buffer_size": 2},
            id="recording",
        ),
    ],
)
def test_injected_hyperparameters_change_nothing(factory, keywords):
    keywords = {"learning_rate": 0.1, **keywords}
    plain = factory(**keywords)
    static = {"optimizer", "window", "averaging", "steps_per_epoch", "buffer_size",
              "two_sided", "norm"}  # fmt: skip
    static &= set(inspect.signature(factory).parameters)
    injected = optax.inject_hyperparams(factory, static_args=static)(**keywords)
    params = [-jnp.ones((2, 3)), jnp.ones((2, 5, 2))]
    gradients = [jnp.ones((2, 3)), -jnp.ones((2, 5, 2))]
    state, injected_state = jax.jit(plain.init)(params), jax.jit(injected.init)(params)
    for _ in range(5):
        updates, state = jax.jit(plain.update)(gradients, state, params)
        others, injected_state = jax.jit(injected.update)(
            gradients, injected_state, params
        )
        chex.assert_trees_all_close(others, updates, rtol=1e-5)
        params = optax.apply_updates(params, updates)
    chex.assert_trees_all_close(injected_state.inner_state, state, rtol=1e-5)


@constructors
@pytest.mark.parametrize("dtype", slow_but(["bfloat16", "float32"], "bfloat16"))
def test_updates_have_the_dtype_of_the_parameters(make, dtype):
    optimizer = make()
    params = jnp.array([1.0, 2.0], dtype)
    state = jax.jit(optimizer.init)(params)
    updates, _ = jax.jit(optimizer.update)(params, state, params)
    assert updates.dtype == dtype


@constructors
@pytest.mark.parametrize("dtype", slow_but(["bfloat16", "float32"], "bfloat16"))
def test_the_first_micro_step_of_multi_steps_is_zero(make, dtype):
    optimizer = optax.MultiSteps(make(), every_k_schedule=4)
    params = jnp.array([1.0, 2.0], dtype)
    state = jax.jit(optimizer.init)(params)
    updates, _ = jax.jit(optimizer.update)(params, state, params)
    np.testing.assert_array_equal(updates, jnp.zeros_like(params))


@constructors
@pytest.mark.parametrize(
    "dtype",
    slow_but(["float16", "bfloat16", "float32", "float64"], "float64"),
)
def test_shapes_and_dtypes_are_stable_through_a_cond(make, dtype):
    with jax.enable_x64(dtype == "float64"):
        optimizer = make()
        params, _, loss = parabola(dtype)

        @jax.jit
        def step(params, state, flag):
            gradients = jax.grad(loss)(params)
            updates, state = jax.lax.cond(
                flag,
                lambda: optimizer.update(gradients, state, params),
                lambda: (params, state),
            )
            return optax.apply_updates(params, updates), state

        state = optimizer.init(params)
        for flag in (True, False, True):
            params, new = step(params, state, jnp.asarray(flag))
            assert params.dtype == dtype
            chex.assert_trees_all_equal_shapes_and_dtypes(new, state)
            state = new


@constructors
def test_init_with_abstract_parameters(make):
    shape = jax.ShapeDtypeStruct((2, 4, 8), jnp.float32)
    abstract = make().init(shape)
    concrete = make().init(jnp.zeros(shape.shape))
    chex.assert_trees_all_equal_shapes_and_dtypes(abstract, concrete)


@constructors
def test_no_type_is_weak_and_no_buffer_shared(make):
    params = {"w": jnp.asarray(1.0), "v": jnp.ones(3)}
    assert params["w"].weak_type
    state = ours(make().init(params))
    assert not any(x.weak_type for x in jax.tree.leaves(state))
    pointers = [x.unsafe_buffer_pointer() for x in jax.tree.leaves((params, state))]
    assert len(set(pointers)) == len(pointers)


@pytest.fixture
def sharding():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Explicit,))
    return NamedSharding(mesh, P(None, "x"))


MODES = {
    f"{'jit' if jit else 'eager'}-{'set_mesh' if in_context else 'no-context'}": (
        in_context,
        jit,
    )
    for jit in (True, False)
    for in_context in (True, False)
}


@constructors
@pytest.mark.parametrize(("in_context", "jit"), slow_but(MODES, "jit-set_mesh"))
def test_the_types_of_the_state_survive_an_update(make, sharding, in_context, jit):
    optimizer = make()
    mesh = sharding.mesh
    with jax.set_mesh(mesh) if in_context else contextlib.nullcontext():
        params = jax.device_put(jnp.zeros((2, 8, 4), jnp.float16), sharding)
        state = (jax.jit(optimizer.init) if jit else optimizer.init)(params)
        update = jax.jit(optimizer.update) if jit else optimizer.update
        for _ in range(2):
            _, new = update(params, state, params)
            for before, after in zip(ours(state), ours(new), strict=True):
                assert types(after) == types(before)
            state = new


def ours(state):
    kinds = (
        AutoDropState,
        EpochAutoDropState,
        WindowedAutoDropState,
        GradientNormsState,
    )

    def is_state(node):
        return isinstance(node, kinds)

    return [x for x in jax.tree.leaves(state, is_leaf=is_state) if is_state(x)]
