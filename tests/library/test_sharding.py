"""Parameters over a mesh of 8 devices: nothing but scalars is exchanged."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from autodrop_runs import EAGER as CHECKS
from chains import EAGER, types
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from reference import Algorithm1
from reference_autodrop import AutoDrop
from slow import slow_but

from autodrop_optax import (
    AutoDropState,
    autodrop,
    autodrop_eval_params,
    autodrop_restart,
    end_epoch,
    epoch_autodrop,
    windowed_autodrop,
    with_epoch_autodrop,
)
from autodrop_optax.refinement import (
    record_gradient_norms,
    recorded_gradient_norms,
)

SPECS = {
    "both": P("data", "model"),
    "data": P("data", None),
    "model": P(None, "model"),
    "whole": P(),
}


@pytest.fixture(params=[AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
def mesh(request):
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(request.param,) * 2)


# For what either kind of mesh would find.
one_mesh = pytest.mark.parametrize(
    "mesh",
    slow_but({"auto": AxisType.Auto, "explicit": AxisType.Explicit}, "explicit"),
    indirect=True,
)


def leaves(seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(16, 512)).astype(np.float32) for name in SPECS}


def shardings(mesh):
    return {name: NamedSharding(mesh, spec) for name, spec in SPECS.items()}


def gathers(text):
    return re.findall(r"all-gather|all-to-all|collective-permute", text)


def scalar_reductions_alone(text):
    """Whether there are all-reduces, and each is of scalars."""
    text = re.sub(r"/\*index=\d+\*/", "", text)
    shapes = re.findall(r"= \(?([^=]*?)\)? all-reduce(?:-start)?\(", text)
    return shapes and all(re.fullmatch(r"(f32\[\](, )?)+", s) for s in shapes)


@pytest.mark.parametrize(
    ("link", "trees"),
    [
        (autodrop(), ("anchor", "previous_step", "average")),
        (epoch_autodrop(0.1), ("anchor", "previous_step", "average")),
        (windowed_autodrop(0.1), ("running_mean", "previous_mean", "previous_step")),
    ],
    ids=["default", "epochs", "windows"],
)
def test_the_state_inherits_the_sharding(mesh, link, trees):
    params = jax.device_put(leaves(0), shardings(mesh))
    for state in (link.init(params), jax.jit(link.init)(params)):
        for tree in trees:
            for name, x in getattr(state, tree).items():
                assert x.sharding.is_equivalent_to(params[name].sharding, x.ndim)


@one_mesh
def test_an_epoch_end_gathers_nothing_and_equals_one_device(mesh):
    link = epoch_autodrop(0.1, **EAGER)
    here = {name: jnp.asarray(x) for name, x in leaves(0).items()}
    there = jax.device_put(leaves(0), shardings(mesh))
    state, far_state = link.init(here), jax.jit(link.init)(there)
    end = jax.jit(lambda p, s: end_epoch(p, s))
    text = end.lower(there, far_state).compile().as_text()
    assert not gathers(text)
    assert scalar_reductions_alone(text)
    for seed in range(1, 7):
        step = leaves(seed)
        here = jax.tree.map(jnp.add, here, step)
        there = jax.tree.map(jnp.add, there, jax.device_put(step, shardings(mesh)))
        here, state = end(here, state)
        there, far_state = end(there, far_state)
        for name in SPECS:
            np.testing.assert_allclose(there[name], here[name], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(far_state.angles, state.angles, atol=1e-3)
    assert int(far_state.num_drops) == int(state.num_drops) == 2
    for name, x in far_state.anchor.items():
        assert x.sharding.is_equivalent_to(shardings(mesh)[name], x.ndim)


@pytest.mark.parametrize("link", [epoch_autodrop(0.1), autodrop()])
def test_shardings_that_no_type_tells_of(link):
    # in_shardings on arrays that lie nowhere in particular: only the partitioner knows.
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    params = {name: jnp.asarray(x) for name, x in leaves(0).items()}
    state = link.init(params)
    placed = optax.tree.map_params(
        link, lambda _, s: s, state, shardings(mesh),
        transform_non_params=lambda _: NamedSharding(mesh, P()),
    )  # fmt: skip

    def act(params, state):
        if isinstance(state, AutoDropState):
            return link.update(params, state, params)
        return end_epoch(params, state)

    act = jax.jit(act, in_shardings=(shardings(mesh), placed))
    assert not gathers(act.lower(params, state).compile().as_text())


WAYS = {
    "link": lambda **k: optax.chain(
        optax.sgd(0.1, momentum=0.9), epoch_autodrop(0.1, **k)
    ),
    "wrapper": lambda **k: with_epoch_autodrop(
        optax.sgd(0.1, momentum=0.9), 0.1, 3, **k
    ),
}


DEFAULT = optax.chain(optax.sgd(0.1, momentum=0.9), autodrop(**CHECKS))


TYPED = {
    f"{way}-{'jit' if jit else 'eager'}": (way, jit)
    for way in (*WAYS, "default")
    for jit in (True, False)
}


@pytest.mark.parametrize(("way", "jit"), slow_but(TYPED, "wrapper-jit"))
def test_no_type_changes_over_epochs(mesh, way, jit):
    def compiled(function):
        return jax.jit(function) if jit else function

    optimizer = DEFAULT if way == "default" else WAYS[way](**EAGER)
    params = jax.device_put(leaves(0), shardings(mesh))
    state = compiled(optimizer.init)(params)
    before = types((params, state[1]))
    for seed in range(1, 7):
        gradients = jax.device_put(leaves(seed), shardings(mesh))
        updates, state = compiled(optimizer.update)(gradients, state, params)
        params = optax.apply_updates(params, updates)
        if way == "link":
            params, state = compiled(end_epoch)(params, state)
        assert types((params, state[1])) == before
    for tree in (params, state[1].anchor, state[1].previous_step, state[1].average):
        for name, x in tree.items():
            assert x.sharding.is_equivalent_to(shardings(mesh)[name], x.ndim)


def noisy_quadratic(seed, epochs, steps):
    rng = np.random.default_rng(seed)
    curvature = {n: np.exp(rng.uniform(-3, 0.5, size=(8, 16))) for n in SPECS}
    noise = {n: rng.normal(size=(epochs, steps, 8, 16)) for n in SPECS}
    start = {n: 3 * rng.normal(size=(8, 16)) for n in SPECS}
    return start, curvature, noise


def flat(tree):
    return np.concatenate([np.ravel(tree[n]) for n in SPECS])


def drops_of_reference(problem, options):
    """In float64; and how close a change of the angle came to the threshold."""
    x, curvature, noise = problem
    x, curvature = flat(x), flat(curvature)
    noise = np.concatenate([n.reshape(*n.shape[:2], -1) for n in noise.values()], -1)
    auto, drops = Algorithm1(x, 0.1, **options), []
    for epoch in noise:
        for c in epoch:
            x = x - auto.alpha * curvature * (x - c)
        x = auto.end_epoch(x)
        drops.append(auto.drops)
    return drops, auto.margin


@one_mesh
@pytest.mark.parametrize("way", slow_but(WAYS.keys(), "link"))
def test_a_whole_run_drops_where_one_device_does(mesh, way):
    options = {"theta_0": 0.5, "theta_max": 1.0, "n_d": 3, "rho": 0.5, "window": 3}
    epochs, steps = 40, 3
    for seed in range(100):
        problem = noisy_quadratic(seed, epochs, steps)
        expected, margin = drops_of_reference(problem, options)
        if margin > 0.01 and expected[-1] >= 3:
            break
    else:
        raise AssertionError("no problem with that margin")
    names = {"theta_0": "threshold", "theta_max": "max_threshold", "rho": "drop_factor",
             "n_d": "drop_delay", "window": "window"}  # fmt: skip
    keywords = {names[k]: v for k, v in options.items()}
    sgd = optax.sgd(0.1)
    optimizer = {
        "link": lambda: optax.chain(sgd, epoch_autodrop(0.1, **keywords)),
        "wrapper": lambda: with_epoch_autodrop(sgd, 0.1, steps, **keywords),
    }[way]()
    start, curvature, noise = jax.tree.map(lambda x: np.asarray(x, np.float32), problem)

    def step(carry, c):
        params, state = carry
        gradients = jax.tree.map(lambda a, x, c: a * (x - c), curvature, params, c)
        updates, state = optimizer.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def epoch(carry, noise):
        params, state = jax.lax.scan(step, carry, noise)[0]
        return end_epoch(params, state) if way == "link" else (params, state)

    def run(place):
        params = place(start)
        carry, drops = (params, jax.jit(optimizer.init)(params)), []
        for t in range(epochs):
            carry = epoch(carry, {n: noise[n][t] for n in SPECS})
            drops.append(int(carry[1][1].num_drops))
        return drops, carry[0]

    here_drops, here = run(lambda x: jax.tree.map(jnp.asarray, x))
    there_drops, there = run(lambda x: jax.device_put(x, shardings(mesh)))
    assert here_drops == there_drops == expected
    for name in SPECS:
        np.testing.assert_allclose(there[name], here[name], rtol=1e-5, atol=1e-5)


@one_mesh
def test_the_wrapper_gathers_nothing(mesh):
    optimizer = with_epoch_autodrop(optax.sgd(0.1, momentum=0.9), 0.1, 3, **EAGER)
    params = jax.device_put(leaves(0), shardings(mesh))
    state = jax.jit(optimizer.init)(params)
    update = jax.jit(optimizer.update)
    text = update.lower(params, state, params).compile().as_text()
    assert not gathers(text)
    assert scalar_reductions_alone(text)


def test_checks_gather_nothing_and_equal_one_device(mesh):
    link = autodrop(**CHECKS)
    here = {name: jnp.asarray(x) for name, x in leaves(0).items()}
    there = jax.device_put(leaves(0), shardings(mesh))
    state, far_state = link.init(here), jax.jit(link.init)(there)
    update, far_update = jax.jit(link.update), jax.jit(lambda *args: link.update(*args))
    text = far_update.lower(there, far_state, there).compile().as_text()
    assert not gathers(text)
    assert scalar_reductions_alone(text)
    for seed in range(1, 13):
        step = leaves(seed)
        here = jax.tree.map(jnp.add, here, step)
        there = jax.tree.map(jnp.add, there, jax.device_put(step, shardings(mesh)))
        _, state = update(here, state, here)
        _, far_state = far_update(there, far_state, there)
        np.testing.assert_allclose(far_state.angles, state.angles, atol=1e-3)
    assert int(far_state.num_drops) == int(state.num_drops) == 3
    average = autodrop_eval_params(state, here)
    for far in (
        autodrop_eval_params(far_state, there),
        jax.jit(autodrop_eval_params)(far_state, there),
    ):
        for name, x in far.items():
            np.testing.assert_allclose(x, average[name], rtol=1e-5, atol=1e-5)
            assert x.sharding.is_equivalent_to(shardings(mesh)[name], x.ndim)
    for restart in (autodrop_restart, jax.jit(autodrop_restart)):
        for params in (None, there):
            assert types(restart(far_state, params)) == types(far_state)


@one_mesh
def test_a_whole_run_drops_where_the_reference_does(mesh):
    rate, steps, options = 0.5, 200, {"n_0": 4, "patience": 1, "q": 1.5}
    start, curvature, noise = noisy_quadratic(0, steps, 1)
    x, curvatures = flat(start), flat(curvature)
    auto = AutoDrop(x, **options)
    for i in range(steps):
        scale = auto.see(x)
        x = x - rate * scale * curvatures * (x - flat({n: noise[n][i] for n in SPECS}))
    assert auto.margin > 0.1
    assert len(auto.drops) == 3
    optimizer = optax.chain(
        optax.sgd(rate), autodrop(first_check=4, patience=1, ratio=1.5)
    )
    curvature, noise = jax.tree.map(np.float32, (curvature, noise))

    def step(carry, c):
        params, state = carry
        gradients = jax.tree.map(lambda a, x, c: a * (x - c[0]), curvature, params, c)
        updates, state = optimizer.update(gradients, state, params)
        carry = optax.apply_updates(params, updates), state
        return carry, state[1].num_drops

    params = jax.device_put(jax.tree.map(np.float32, start), shardings(mesh))
    carry = params, jax.jit(optimizer.init)(params)
    (params, _), drops = jax.jit(lambda c: jax.lax.scan(step, c, noise))(carry)
    dropped = np.flatnonzero(np.diff(drops, prepend=0)) + 1
    np.testing.assert_array_equal(dropped, auto.drops)
    np.testing.assert_allclose(flat(jax.device_get(params)), x, rtol=1e-4, atol=1e-4)


@one_mesh
@pytest.mark.parametrize("sample_every", slow_but({"1": 1, "2": 2}, "2"))
def test_windows_gather_nothing_and_equal_one_device(mesh, sample_every):
    link = windowed_autodrop(
        0.1, window_steps=2, buffer_size=2, threshold=180.0, sample_every=sample_every
    )
    here = {name: jnp.asarray(x) for name, x in leaves(0).items()}
    there = jax.device_put(leaves(0), shardings(mesh))
    state, far_state = link.init(here), jax.jit(link.init)(there)
    update, far_update = jax.jit(link.update), jax.jit(lambda *args: link.update(*args))
    text = far_update.lower(there, far_state, there).compile().as_text()
    assert not gathers(text)
    assert scalar_reductions_alone(text)
    for seed in range(1, 17):
        step = leaves(seed)
        here = jax.tree.map(jnp.add, here, step)
        there = jax.tree.map(jnp.add, there, jax.device_put(step, shardings(mesh)))
        _, state = update(here, state, here)
        _, far_state = far_update(there, far_state, there)
        np.testing.assert_allclose(far_state.angle, state.angle, atol=1e-3)
    assert int(far_state.num_drops) == int(state.num_drops) == 2
    for name, x in far_state.previous_step.items():
        np.testing.assert_allclose(x, state.previous_step[name], rtol=1e-5, atol=1e-5)
        assert x.sharding.is_equivalent_to(shardings(mesh)[name], x.ndim)


@one_mesh
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_recorded_norms_gather_nothing_and_equal_one_device(mesh, norm):
    link = record_gradient_norms(norm, buffer_size=4)
    params = jax.device_put(leaves(0), shardings(mesh))
    state = jax.jit(link.init)(params)
    update = jax.jit(lambda *args: link.update(*args))
    text = update.lower(params, state).compile().as_text()
    assert not gathers(text)
    assert scalar_reductions_alone(text)
    before, expected = types(state), []
    for seed in range(6):
        gradients = leaves(seed)
        updates, state = update(jax.device_put(gradients, shardings(mesh)), state)
        assert types(state) == before
        for name, x in updates.items():
            assert x.sharding.is_equivalent_to(shardings(mesh)[name], x.ndim)
            np.testing.assert_array_equal(x, gradients[name])
        expected.append(np.linalg.norm(flat(gradients), ord=int(norm[1])))
    np.testing.assert_allclose(recorded_gradient_norms(state), expected[::2], rtol=1e-5)
