"""Optimizers whose updates are jumps to a point: inside, never around."""

import functools

import jax
import jax.numpy as jnp
import optax
import pytest
from chains import EAGER, PLAIN, STEPS, make_params, random_tree, run, sgd

from autodrop_optax import (
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
    windowed_autodrop,
    with_epoch_autodrop,
)

pytestmark = pytest.mark.usefixtures("standard_promotion")


def test_inside_lookahead():
    optimizer = optax.lookahead(with_epoch_autodrop(sgd(), 0.1, STEPS, **PLAIN), 5, 0.5)
    params = optax.LookaheadParams.init_synced(make_params())
    state = optimizer.init(params)
    for i in range(12):
        gradients = random_tree(i, make_params())
        updates, state = jax.jit(optimizer.update)(gradients, state, params)
        params = optax.apply_updates(params, updates)
    assert float(autodrop_metrics(state)["num_drops"]) == 2


def test_inside_schedule_free():
    base = with_epoch_autodrop(optax.sgd(0.1), 0.1, STEPS, **PLAIN)
    _, state = run(optax.contrib.schedule_free(base, 0.1, b1=0.9), make_params(), 12)
    assert float(autodrop_metrics(state)["num_drops"]) == 2


def normalized():
    return optax.chain(optax.contrib.normalize(), optax.sgd(0.05))


def test_inside_sam():
    base = with_epoch_autodrop(sgd(), 0.1, STEPS, **PLAIN)
    optimizer = optax.contrib.sam(base, normalized(), opaque_mode=True)
    _, state = run(
        optimizer, make_params(), 12, grad_fn=lambda p, _: jax.tree.map(jnp.sin, p)
    )
    assert float(autodrop_metrics(state)["num_drops"]) == 2


JUMPERS = [
    pytest.param(lambda: optax.contrib.schedule_free(sgd(), 0.1), id="schedule-free"),
    pytest.param(lambda: optax.contrib.sam(sgd(), normalized()), id="sam"),
    pytest.param(lambda: optax.contrib.mechanize(sgd()), id="mechanize"),
    pytest.param(lambda: optax.contrib.cocob(), id="cocob"),
]
REFUSED = r"jumps to a point.*averaging=False|Keep one of the two"
if hasattr(optax.contrib, "madgrad"):
    JUMPERS.append(pytest.param(lambda: optax.contrib.madgrad(0.1), id="madgrad"))


def test_sam_that_mixes_states_by_arithmetic_is_told_of():
    base = with_epoch_autodrop(sgd(), 0.1, STEPS, **PLAIN)
    with pytest.raises(ValueError, match="opaque_mode=True"):
        run(optax.contrib.sam(base, normalized()), make_params(), 2)


@pytest.mark.parametrize(
    "jumper",
    [
        *JUMPERS,
        pytest.param(lambda: with_epoch_autodrop(sgd(), 0.1, STEPS), id="itself"),
        pytest.param(lambda: optax.chain(epoch_autodrop(0.1), sgd()), id="link"),
        pytest.param(lambda: optax.chain(windowed_autodrop(0.1), sgd()), id="windows"),
    ],
)
def test_around_a_jumper_is_refused(jumper):
    for inner in (jumper(), optax.chain(jumper())):
        with pytest.raises(ValueError, match=REFUSED):
            with_epoch_autodrop(inner, 0.1, STEPS).init(make_params())


def test_around_lookahead_is_refused():
    optimizer = with_epoch_autodrop(optax.lookahead(sgd(), 5, 0.5), 0.1, STEPS)
    with pytest.raises(ValueError, match=REFUSED):
        optimizer.init(optax.LookaheadParams.init_synced(make_params()))


@pytest.mark.parametrize("jumper", JUMPERS)
def test_a_link_beside_a_jumper_is_refused(jumper):
    params = make_params()
    state = optax.chain(jumper(), epoch_autodrop(0.1)).init(params)
    with pytest.raises(ValueError, match="stands beside a"):
        end_epoch(params, state)


def test_a_link_beside_a_jumper_over_other_parameters_is_fine():
    optimizer = optax.partition(
        {
            "free": optax.contrib.schedule_free(optax.sgd(0.1), 0.1),
            "auto": optax.chain(sgd(), epoch_autodrop(0.1, **EAGER)),
        },
        {"encoder": "free", "head": "auto"},
    )
    _, state = run(optimizer, make_params(), 12, ends_epochs=True)
    assert float(autodrop_metrics(state)["num_drops"]) == 2


@pytest.mark.parametrize("make", [epoch_autodrop, windowed_autodrop])
def test_over_lookahead_is_refused(make):
    params = optax.LookaheadParams.init_synced(make_params())
    link, sync = make(0.1), functools.partial(optax.lookahead, sync_period=5)
    with pytest.raises(ValueError, match=r"LookaheadParams.*on the base optimizer"):
        optax.chain(sync(sgd(), slow_step_size=0.5), link).init(params)
    with pytest.raises(ValueError, match=r"LookaheadParams.*on the base optimizer"):
        end_epoch(params, link.init(make_params()))
    sync(optax.chain(sgd(), link), slow_step_size=0.5).init(params)
