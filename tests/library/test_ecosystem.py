"""AutoDrop inside and around what users of optax build with."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.core import freeze

from autodrop_optax import autodrop, autodrop_metrics, end_epoch, with_autodrop

STEPS = 2  # per epoch
EAGER = {"threshold": 180.0, "max_threshold": 180.0, "drop_delay": 2}
PLAIN = EAGER | {"averaging": False}


@pytest.fixture(autouse=True)
def promotion_as_optax_needs_it():
    with jax.numpy_dtype_promotion("standard"):
        yield


def make_params(dtype=jnp.float32):
    return {
        "encoder": {"w": jnp.arange(6.0).reshape(2, 3).astype(dtype)},
        "head": {"w": jnp.ones((3, 2), dtype), "b": jnp.zeros(2, dtype)},
    }


def random_tree(seed, like):
    """A gradient for each step, other in each."""
    leaves, treedef = jax.tree.flatten(like)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    draws = [
        jax.random.normal(k, x.shape, x.dtype)
        for k, x in zip(keys, leaves, strict=True)
    ]
    return treedef.unflatten(draws)


def run(optimizer, params, steps, ends_epochs=False, gradients=random_tree, **extra):
    """Returns the parameters after each step and the last state."""
    if isinstance(optimizer, optax.MultiSteps):
        optimizer = optimizer.gradient_transformation()
    state = optimizer.init(params)
    update = jax.jit(lambda g, s, p: optimizer.update(g, s, p, **extra))
    end = jax.jit(end_epoch)
    course = []
    for i in range(steps):
        updates, state = update(gradients(i, params), state, params)
        params = optax.apply_updates(params, updates)
        if ends_epochs and i % STEPS == STEPS - 1:
            params, state = end(params, state)
        course.append(params)
    return course, state


def sgd():
    return optax.sgd(0.1, momentum=0.9)


# --- Anywhere in a chain -------------------------------------------------------------

LINKS = {
    "clipping": lambda: optax.clip_by_global_norm(1.0),
    "weight-decay": lambda: optax.add_decayed_weights(1e-2),
    "warm-up": lambda: optax.scale_by_schedule(optax.linear_schedule(0.0, 1.0, 6)),
    "centralize": lambda: optax.centralize(),
}


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("other", LINKS)
def test_with_a_threshold_of_zero_no_position_changes_the_chain(other, position):
    chain = [LINKS[other](), sgd()]
    plain, _ = run(optax.chain(*chain), make_params(), 8)
    link = autodrop(0.1, threshold=0.0)
    chain.insert(position, link)
    observed, state = run(optax.chain(*chain), make_params(), 8, ends_epochs=True)
    chex.assert_trees_all_close(observed, plain, rtol=1e-6)
    assert np.isfinite(float(autodrop_metrics(state)["angular_velocity"]))


@pytest.mark.parametrize("other", LINKS)
def test_after_a_drop_the_update_is_the_plain_one_scaled(other):
    chain = optax.chain(LINKS[other](), optax.sgd(0.1))
    link = autodrop(0.1, drop_factor=0.5, **PLAIN)
    _, dropped = run(optax.chain(chain, link), make_params(), 8, ends_epochs=True)
    assert float(autodrop_metrics(dropped)["num_drops"]) == 1
    params, gradients = make_params(), random_tree(9, make_params())
    with_link, _ = optax.chain(chain, link).update(gradients, dropped, params)
    without, _ = chain.update(gradients, dropped[0], params)
    chex.assert_trees_all_close(
        with_link, jax.tree.map(lambda u: 0.5 * u, without), rtol=1e-6
    )


def test_muon_and_complex_parameters():
    muon = with_autodrop(optax.contrib.muon(0.1), 0.1, STEPS, **EAGER)
    _, state = run(muon, make_params(), 12)
    assert float(autodrop_metrics(state)["num_drops"]) == 2
    params = jax.tree.map(lambda x: x + 1j * x, make_params())
    split = optax.contrib.split_real_and_imaginary(optax.adam(0.1))
    course, state = run(with_autodrop(split, 0.1, STEPS, **EAGER), params, 12)
    assert float(autodrop_metrics(state)["num_drops"]) == 2
    assert all(jnp.iscomplexobj(x) for x in jax.tree.leaves(course[-1]))


def test_frozen_dictionaries():
    link = optax.chain(sgd(), autodrop(0.1, **EAGER))
    plain, _ = run(link, make_params(), 12, ends_epochs=True)
    frozen, _ = run(link, freeze(make_params()), 12, ends_epochs=True)
    chex.assert_trees_all_equal(freeze(plain[-1]), frozen[-1])


def test_gradients_of_integers_are_float0():
    params = {"w": jnp.ones(3), "steps": jnp.arange(3)}
    optimizer = optax.chain(autodrop(0.1, **EAGER))
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
    slow = autodrop(1e-3, **EAGER | {"drop_delay": 3})
    optimizer = optax.partition(
        {
            "fast": optax.chain(sgd(), autodrop(0.1, **EAGER)),
            "slow": optax.chain(optax.adam(1e-3), slow),
            "frozen": optax.set_to_zero(),
        },
        labels,
    )
    course, state = run(optimizer, params, 24, ends_epochs=True)
    metrics = autodrop_metrics(state)
    assert len(metrics) == 20
    drops = {
        group: float(metrics[f"inner_states/{group}/inner_state/1/num_drops"])
        for group in ("fast", "slow")
    }
    assert drops == {"fast": 5, "slow": 3}  # 12 epochs
    chex.assert_trees_all_equal(course[-1]["embedding"], params["embedding"])
    # Each group goes as it would alone.
    alone = optax.chain(sgd(), autodrop(0.1, **EAGER))

    def of_all(seed, _):
        return {"encoder": random_tree(seed, params)["encoder"]}

    lone, _ = run(alone, {"encoder": params["encoder"]}, 24, True, of_all)
    chex.assert_trees_all_close(lone[-1]["encoder"], course[-1]["encoder"], rtol=1e-6)


def test_a_wrapper_in_each_group():
    labels = {"encoder": "a", "head": "b"}
    groups = {
        "a": with_autodrop(sgd(), 0.1, STEPS, **EAGER),
        "b": with_autodrop(sgd(), 0.1, STEPS, **EAGER | {"drop_delay": 4}),
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


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_masked(mask):
    optimizer = optax.chain(sgd(), optax.masked(autodrop(0.1, **PLAIN), mask))
    course, state = run(optimizer, make_params(), 12, ends_epochs=True)
    plain, _ = run(sgd(), make_params(), 12)
    assert float(autodrop_metrics(state)["num_drops"]) == 2
    # What the mask leaves out goes on at the full rate, the rest does not.
    chex.assert_trees_all_close(course[-1]["head"]["b"], plain[-1]["head"]["b"])
    assert not np.allclose(course[-1]["encoder"]["w"], plain[-1]["encoder"]["w"])


def test_a_mask_that_leaves_nothing():
    optimizer = optax.chain(sgd(), optax.masked(autodrop(0.1, **EAGER), False))
    plain, _ = run(sgd(), make_params(), 6)
    course, state = run(optimizer, make_params(), 6, ends_epochs=True)
    chex.assert_trees_all_equal(course, plain)
    assert np.isnan(float(autodrop_metrics(state)["angular_velocity"]))


# --- Accumulated and rejected steps --------------------------------------------------

EVERY = 3  # micro-batches in a step


def test_multi_steps_both_ways_round():
    inside = optax.MultiSteps(with_autodrop(sgd(), 0.1, STEPS, **EAGER), EVERY)
    around = with_autodrop(optax.MultiSteps(sgd(), EVERY), 0.1, STEPS, **EAGER)
    (one, one_state), (two, two_state) = (
        run(optimizer, make_params(), 20 * EVERY) for optimizer in (inside, around)
    )
    chex.assert_trees_all_close(one, two, rtol=1e-6, atol=1e-6)
    for state in (one_state, two_state):
        metrics = autodrop_metrics(state)
        assert float(metrics["epoch"]) == 20 / STEPS  # in optimizer steps
        assert float(metrics["num_drops"]) == 4
    # Between steps nothing moves: the first micro-steps are exactly zero.
    chex.assert_trees_all_equal(one[0], make_params())
    chex.assert_trees_all_equal(two[0], make_params())
    chex.assert_trees_all_equal(two[EVERY], two[EVERY - 1])


def test_the_transformation_that_multi_steps_makes_is_taken_as_well():
    multi = optax.MultiSteps(sgd(), EVERY)
    one, _ = run(with_autodrop(multi, 0.1, STEPS, **EAGER), make_params(), 18)
    other, _ = run(
        with_autodrop(multi.gradient_transformation(), 0.1, STEPS, **EAGER),
        make_params(),
        18,
    )
    chex.assert_trees_all_equal(one, other)


def test_end_epoch_in_mid_accumulation_keeps_the_partial_gradients():
    link = optax.chain(sgd(), autodrop(0.1, **EAGER))
    for optimizer in (
        optax.MultiSteps(link, EVERY).gradient_transformation(),
        optax.chain(
            optax.MultiSteps(sgd(), EVERY).gradient_transformation(),
            autodrop(0.1, **EAGER),
        ),
    ):
        params = make_params()
        state = optimizer.init(params)
        _, state = optimizer.update(random_tree(0, params), state, params)
        same, after = end_epoch(params, state)
        chex.assert_trees_all_equal(same, params)

        def accumulated(state):
            (found,) = [
                x
                for x in jax.tree.leaves(
                    state, is_leaf=lambda x: isinstance(x, optax.MultiStepsState)
                )
                if isinstance(x, optax.MultiStepsState)
            ]
            return found.acc_grads, found.mini_step

        chex.assert_trees_all_equal(accumulated(after), accumulated(state))
        assert int(accumulated(after)[1]) == 1
        assert int(autodrop_metrics(after)["epoch"]) == 1


def some_not_finite(seed, like):
    draw = random_tree(seed, like)
    return jax.tree.map(lambda x: x * jnp.nan, draw) if seed % 5 == 0 else draw


def test_apply_if_finite_both_ways_round():
    inside = optax.apply_if_finite(with_autodrop(sgd(), 0.1, STEPS, **EAGER), 3)
    around = with_autodrop(optax.apply_if_finite(sgd(), 3), 0.1, STEPS, **EAGER)
    (one, one_state), (two, two_state) = (
        run(optimizer, make_params(), 50, gradients=some_not_finite)
        for optimizer in (inside, around)
    )
    chex.assert_trees_all_close(one, two, rtol=1e-6, atol=1e-6)
    for state in (one_state, two_state):
        assert float(autodrop_metrics(state)["epoch"]) == 40 / STEPS  # 10 rejected
        assert float(autodrop_metrics(state)["num_drops"]) == 9
    assert np.all(np.isfinite(two[-1]["head"]["w"]))


def test_steps_are_counted_through_both_at_once():
    multi = optax.MultiSteps(sgd(), EVERY).gradient_transformation()
    optimizer = optax.apply_if_finite(multi, 3)
    _, state = run(
        with_autodrop(optimizer, 0.1, STEPS, **EAGER),
        make_params(),
        5 * 4 * EVERY,
        gradients=some_not_finite,
    )
    # A fifth of 60 is rejected; three of the rest make a step, two of these an epoch.
    assert float(autodrop_metrics(state)["epoch"]) == 48 / EVERY / STEPS


def test_one_group_that_steps_is_enough():
    groups = {"a": optax.MultiSteps(sgd(), EVERY).gradient_transformation(), "b": sgd()}
    optimizer = optax.partition(groups, {"encoder": "a", "head": "b"})
    wrapped = with_autodrop(optimizer, 0.1, STEPS, **EAGER)
    _, state = run(wrapped, make_params(), 12)
    assert float(autodrop_metrics(state)["epoch"]) == 12 / STEPS
    slow = {"a": groups["a"], "b": optax.MultiSteps(sgd(), 2).gradient_transformation()}
    optimizer = optax.partition(slow, {"encoder": "a", "head": "b"})
    wrapped = with_autodrop(optimizer, 0.1, STEPS, **EAGER)
    _, state = run(wrapped, make_params(), 12)
    # Steps at 2, 3, 4, 6, 8, 9, 10, 12.
    assert float(autodrop_metrics(state)["epoch"]) == 8 / STEPS


def test_extra_arguments_pass_through_multi_steps():
    plateau = optax.chain(sgd(), optax.contrib.reduce_on_plateau())
    optimizer = with_autodrop(optax.MultiSteps(plateau, 2), 0.1, STEPS, **EAGER)
    _, state = run(optimizer, make_params(), 12, value=jnp.float32(1.0))
    assert float(autodrop_metrics(state)["epoch"]) == 3


# --- Optimizers whose updates are jumps to a point -----------------------------------


def test_inside_lookahead():
    optimizer = optax.lookahead(with_autodrop(sgd(), 0.1, STEPS, **PLAIN), 5, 0.5)
    params = optax.LookaheadParams.init_synced(make_params())
    state = optimizer.init(params)
    for i in range(12):
        gradients = random_tree(i, make_params())
        updates, state = jax.jit(optimizer.update)(gradients, state, params)
        params = optax.apply_updates(params, updates)
    assert float(autodrop_metrics(state)["num_drops"]) == 2


def test_inside_schedule_free():
    base = with_autodrop(optax.sgd(0.1), 0.1, STEPS, **PLAIN)
    _, state = run(optax.contrib.schedule_free(base, 0.1, b1=0.9), make_params(), 12)
    assert float(autodrop_metrics(state)["num_drops"]) == 2


def normalized():
    return optax.chain(optax.contrib.normalize(), optax.sgd(0.05))


def test_inside_sam():
    base = with_autodrop(sgd(), 0.1, STEPS, **PLAIN)
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
if hasattr(optax.contrib, "madgrad"):
    JUMPERS.append(pytest.param(lambda: optax.contrib.madgrad(0.1), id="madgrad"))


def test_sam_that_mixes_states_by_arithmetic_is_told_of():
    base = with_autodrop(sgd(), 0.1, STEPS, **PLAIN)
    with pytest.raises(ValueError, match="opaque_mode=True"):
        run(optax.contrib.sam(base, normalized()), make_params(), 2)


@pytest.mark.parametrize(
    "jumper",
    [
        *JUMPERS,
        pytest.param(lambda: with_autodrop(sgd(), 0.1, STEPS), id="itself"),
        pytest.param(lambda: optax.chain(autodrop(0.1), sgd()), id="link"),
    ],
)
def test_around_a_jumper_is_refused(jumper):
    with pytest.raises(ValueError, match=r"updates are jumps to a point|one of the"):
        with_autodrop(jumper(), 0.1, STEPS).init(make_params())


def test_around_lookahead_is_refused():
    optimizer = with_autodrop(optax.lookahead(sgd(), 5, 0.5), 0.1, STEPS)
    with pytest.raises(ValueError, match="updates are jumps to a point"):
        optimizer.init(optax.LookaheadParams.init_synced(make_params()))


@pytest.mark.parametrize("jumper", JUMPERS)
def test_a_link_beside_a_jumper_is_refused(jumper):
    params = make_params()
    state = optax.chain(jumper(), autodrop(0.1)).init(params)
    with pytest.raises(ValueError, match="stands beside a"):
        end_epoch(params, state)


def test_a_link_beside_a_jumper_over_other_parameters_is_fine():
    optimizer = optax.partition(
        {
            "free": optax.contrib.schedule_free(optax.sgd(0.1), 0.1),
            "auto": optax.chain(sgd(), autodrop(0.1, **EAGER)),
        },
        {"encoder": "free", "head": "auto"},
    )
    _, state = run(optimizer, make_params(), 12, ends_epochs=True)
    assert float(autodrop_metrics(state)["num_drops"]) == 2


def test_lookahead_parameters_are_refused():
    params = optax.LookaheadParams.init_synced(make_params())
    with pytest.raises(ValueError, match="as its fast optimizer"):
        autodrop(0.1).init(params)
    with pytest.raises(TypeError, match="as its fast optimizer"):
        end_epoch(params, autodrop(0.1).init(make_params()))


def test_two_states_over_the_same_parameters_are_refused():
    params = make_params()
    state = optax.chain(autodrop(0.1), sgd(), autodrop(0.1)).init(params)
    with pytest.raises(ValueError, match=r"cover the parameters at \['encoder'\]"):
        end_epoch(params, state)


def test_metrics_of_the_states_of_different_optimizers():
    params = make_params()
    states = {name: autodrop(0.1).init(params) for name in ("generator", "critic")}
    metrics = autodrop_metrics(states)
    assert {"generator/epoch", "critic/epoch"} <= set(metrics)
