"""Parameters over a mesh of 8 devices: nothing but scalars is exchanged."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from autodrop_optax import autodrop, end_epoch, windowed_autodrop, with_autodrop

SPECS = {"both": P("data", "model"), "rows": P("data", None), "whole": P()}
EAGER = {"threshold": 180.0, "max_threshold": 180.0, "drop_delay": 2}


@pytest.fixture(params=[AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
def mesh(request):
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(request.param,) * 2)


def leaves(seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(16, 512)).astype(np.float32) for name in SPECS}


def shardings(mesh):
    return {name: NamedSharding(mesh, spec) for name, spec in SPECS.items()}


def gathers(text):
    return re.findall(r"all-gather|all-to-all|collective-permute", text)


def test_the_state_inherits_the_sharding(mesh):
    params = jax.device_put(leaves(0), shardings(mesh))
    link = autodrop(0.1)
    for state in (link.init(params), jax.jit(link.init)(params)):
        for tree in (state.anchor, state.previous_step, state.average):
            for name, x in tree.items():
                assert x.sharding.is_equivalent_to(params[name].sharding, x.ndim)


def test_an_epoch_end_gathers_nothing_and_equals_one_device(mesh):
    link = autodrop(0.1, **EAGER)
    here = {name: jnp.asarray(x) for name, x in leaves(0).items()}
    there = jax.device_put(leaves(0), shardings(mesh))
    state, far_state = link.init(here), jax.jit(link.init)(there)
    end = jax.jit(lambda p, s: end_epoch(p, s))
    text = end.lower(there, far_state).compile().as_text()
    assert not gathers(text)
    assert set(re.findall(r"= (\S+) all-reduce\(", text)) <= {"f32[]", "f32[]{}"}
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


def test_shardings_that_no_type_tells_of():
    # in_shardings on arrays that lie nowhere in particular: only the partitioner knows.
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    link = autodrop(0.1)
    params = {name: jnp.asarray(x) for name, x in leaves(0).items()}
    state = link.init(params)
    placed = optax.tree.map_params(
        link, lambda _, s: s, state, shardings(mesh),
        transform_non_params=lambda _: NamedSharding(mesh, P()),
    )  # fmt: skip
    end = jax.jit(lambda p, s: end_epoch(p, s), in_shardings=(shardings(mesh), placed))
    assert not gathers(end.lower(params, state).compile().as_text())


def test_the_wrapper_gathers_nothing(mesh):
    optimizer = with_autodrop(optax.sgd(0.1, momentum=0.9), 0.1, 3, **EAGER)
    params = jax.device_put(leaves(0), shardings(mesh))
    state = jax.jit(optimizer.init)(params)
    update = jax.jit(optimizer.update)
    text = update.lower(params, state, params).compile().as_text()
    assert not gathers(text)


def test_the_windows_inherit_the_sharding(mesh):
    params = jax.device_put(leaves(0), shardings(mesh))
    link = windowed_autodrop(0.1)
    for state in (link.init(params), jax.jit(link.init)(params)):
        for tree in (state.running_mean, state.previous_mean, state.previous_step):
            for name, x in tree.items():
                assert x.sharding.is_equivalent_to(params[name].sharding, x.ndim)


@pytest.mark.parametrize("sample_every", [1, 2])
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
    assert set(re.findall(r"= (\S+) all-reduce\(", text)) <= {"f32[]", "f32[]{}"}
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
