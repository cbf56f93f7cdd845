"""AutoDrop in any position of a chain, and for groups of parameters."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from chains import EAGER, PLAIN, STEPS, make_params, random_tree, run, sgd
from flax.core import freeze
from slow import slow_but

from autodrop_optax import (
    autodrop_metrics,
    epoch_autodrop,
    with_epoch_autodrop,
)

pytestmark = pytest.mark.usefixtures("standard_promotion")


# --- Anywhere in a chain -------------------------------------------------------------

LINKS = {
    "clipping": lambda: optax.clip_by_global_norm(1.0),
    "weight-decay": lambda: optax.add_decayed_weights(1e-2),
    "warm-up": lambda: optax.scale_by_schedule(optax.linear_schedule(0.0, 1.0, 6)),
    "centralize": lambda: optax.centralize(),
}


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("other", slow_but(LINKS.keys(), "warm-up"))
def test_with_a_threshold_of_zero_no_position_changes_the_chain(other, position):
    chain = [LINKS[other](), sgd()]
    plain, _ = run(optax.chain(*chain), make_params(), 8)
    link = epoch_autodrop(0.1, threshold=0.0)
    chain.insert(position, link)
    observed, state = run(optax.chain(*chain), make_params(), 8, ends_epochs=True)
    chex.assert_trees_all_close(observed, plain, rtol=1e-6)
    assert np.isfinite(float(autodrop_metrics(state)["angular_velocity"]))


@pytest.mark.parametrize("other", slow_but(LINKS.keys(), "weight-decay"))
def test_after_a_drop_the_update_is_the_plain_one_scaled(other):
    chain = optax.chain(LINKS[other](), optax.sgd(0.1))
    link = epoch_autodrop(0.1, drop_factor=0.5, **PLAIN)
    _, dropped = run(optax.chain(chain, link), make_params(), 8, ends_epochs=True)
    assert float(autodrop_metrics(dropped)["num_drops"]) == 1
    params, gradients = make_params(), random_tree(9, make_params())
    with_link, _ = optax.chain(chain, link).update(gradients, dropped, params)
    without, _ = chain.update(gradients, dropped[0], params)
    chex.assert_trees_all_close(
        with_link, jax.tree.map(lambda u: 0.5 * u, without), rtol=1e-6
    )


@pytest.mark.slow
def test_muon_and_complex_parameters():
    muon = with_epoch_autodrop(optax.contrib.muon(0.1), 0.1, STEPS, **EAGER)
    _, state = run(muon, make_params(), 12)
    assert float(autodrop_metrics(state)["num_drops"]) == 2
    params = jax.tree.map(lambda x: x + 1j * x, make_params())
    split = optax.contrib.split_real_and_imaginary(optax.adam(0.1))
    course, state = run(with_epoch_autodrop(split, 0.1, STEPS, **EAGER), params, 12)
    assert float(autodrop_metrics(state)["num_drops"]) == 2
    assert all(jnp.iscomplexobj(x) for x in jax.tree.leaves(course[-1]))


def test_frozen_dictionaries():
    link = optax.chain(sgd(), epoch_autodrop(0.1, **EAGER))
    plain, _ = run(link, make_params(), 12, ends_epochs=True)
    frozen, _ = run(link, freeze(make_params()), 12, ends_epochs=True)
    chex.assert_trees_all_equal(freeze(plain[-1]), frozen[-1])


def test_gradients_of_integers_are_float0():
    params = {"w": jnp.ones(3), "steps": jnp.arange(3)}
    optimizer = optax.chain(epoch_autodrop(0.1, **EAGER))
    state = optimizer.init(params)

    def loss(params):
        return jnp.sum(params["w"] ** 2)

    gradients = jax.grad(loss, allow_int=True)(params)
    updates, _ = jax.jit(optimizer.update)(gradients, state, params)
    assert updates["steps"].dtype == jax.dtypes.float0


# --- Groups of parameters ------------------------------------------------------------


def test_two_groups_with_settings_of_their_own_and_one_frozen():
    params = make_params() | {"embedding": {"w": jnp.ones(4)}}
    labels = {"encoder": "fast", "head": "slow", "embedding": "frozen"}
    slow = epoch_autodrop(1e-3, **EAGER | {"drop_delay": 3})
    optimizer = optax.partition(
        {
            "fast": optax.chain(sgd(), epoch_autodrop(0.1, **EAGER)),
            "slow": optax.chain(optax.adam(1e-3), slow),
            "frozen": optax.set_to_zero(),
        },
        labels,
    )
    course, state = run(optimizer, params, 24, ends_epochs=True)
    metrics = autodrop_metrics(state)
    assert len(metrics) == 20
    drops = {group: float(metrics[f"{group}/num_drops"]) for group in ("fast", "slow")}
    assert drops == {"fast": 5, "slow": 3}  # 12 epochs
    chex.assert_trees_all_equal(course[-1]["embedding"], params["embedding"])
    # Each group goes as it would alone.
    alone = optax.chain(sgd(), epoch_autodrop(0.1, **EAGER))

    def of_all(seed, _):
        return {"encoder": random_tree(seed, params)["encoder"]}

    lone, _ = run(alone, {"encoder": params["encoder"]}, 24, True, of_all)
    chex.assert_trees_all_close(lone[-1]["encoder"], course[-1]["encoder"], rtol=1e-6)


def test_a_wrapper_in_each_group():
    labels = {"encoder": "a", "head": "b"}
    groups = {
        "a": with_epoch_autodrop(sgd(), 0.1, STEPS, **EAGER),
        "b": with_epoch_autodrop(sgd(), 0.1, STEPS, **EAGER | {"drop_delay": 4}),
    }
    parted, state = run(optax.partition(groups, labels), make_params(), 20)
    metrics = autodrop_metrics(state)
    assert {float(v) for k, v in metrics.items() if k.endswith("drops")} == {4, 2}
    for group, name in (("a", "encoder"), ("b", "head")):

        def of_all(seed, _, name=name):
            return {name: random_tree(seed, make_params())[name]}

        lone, _ = run(groups[group], {name: make_params()[name]}, 20, False, of_all)
        chex.assert_trees_all_close(lone[-1][name], parted[-1][name], rtol=1e-6)


MASKS = {
    "leaves": {"encoder": {"w": True}, "head": {"w": True, "b": False}},
    "prefix": {"encoder": True, "head": False},
    "function": lambda params: jax.tree.map(lambda x: x.ndim > 1, params),
}


@pytest.mark.parametrize("mask", slow_but(MASKS, "leaves"))
def test_masked(mask):
    optimizer = optax.chain(sgd(), optax.masked(epoch_autodrop(0.1, **PLAIN), mask))
    course, state = run(optimizer, make_params(), 12, ends_epochs=True)
    plain, _ = run(sgd(), make_params(), 12)
    assert float(autodrop_metrics(state)["num_drops"]) == 2
    # What the mask leaves out goes on at the full rate, the rest does not.
    chex.assert_trees_all_close(course[-1]["head"]["b"], plain[-1]["head"]["b"])
    assert not np.allclose(course[-1]["encoder"]["w"], plain[-1]["encoder"]["w"])


def test_a_mask_that_leaves_nothing():
    optimizer = optax.chain(sgd(), optax.masked(epoch_autodrop(0.1, **EAGER), False))
    plain, _ = run(sgd(), make_params(), 6)
    course, state = run(optimizer, make_params(), 6, ends_epochs=True)
    chex.assert_trees_all_equal(course, plain)
    assert np.isposinf(float(autodrop_metrics(state)["angular_velocity"]))
