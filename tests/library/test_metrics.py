"""What there is to log: the keys, their paths, the floor."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from autodrop_optax import (
    autodrop,
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
    windowed_autodrop,
    with_epoch_autodrop,
)

OF_BOTH = {
    "learning_rate",
    "angular_velocity",
    "angular_velocity_change",
    "threshold",
    "num_drops",
    "step_norm",
}
OF_EPOCHS = OF_BOTH | {"delay_count", "epoch", "epochs_since_drop", "averaged"}
OF_WINDOWS = OF_BOTH | {"window", "windows_since_drop"}
PARAMS = {"x": jnp.ones(2), "y": jnp.ones(3)}
LABELS = {"x": "encoder", "y": "head"}


@pytest.mark.parametrize(
    ("optimizer", "keys"),
    [
        pytest.param(epoch_autodrop(0.1), OF_EPOCHS, id="link"),
        pytest.param(with_epoch_autodrop(optax.sgd(1.0), 1.0, 3), OF_EPOCHS, id="wrap"),
        pytest.param(windowed_autodrop(0.1), OF_WINDOWS, id="windowed"),
    ],
)
@pytest.mark.parametrize("jit", [True, False], ids=["jit", "eager"])
def test_the_keys(optimizer, keys, jit):
    state = optimizer.init(PARAMS)
    metrics = (jax.jit(autodrop_metrics) if jit else autodrop_metrics)(state)
    assert isinstance(metrics, dict)
    assert set(metrics) == keys
    assert all(jnp.shape(value) == () for value in metrics.values())
    with pytest.raises(KeyError, match=r"'angle': there are 'learning_rate', 'ang"):
        metrics["angle"]
    assert metrics.get("angle") is None


def masked(name):
    return optax.masked(epoch_autodrop(0.1), {k: k == name for k in PARAMS})


@pytest.mark.parametrize(
    ("optimizer", "names"),
    [
        pytest.param(
            optax.partition(
                {
                    "encoder": optax.chain(optax.sgd(0.1), epoch_autodrop(0.1)),
                    "head": windowed_autodrop(0.1),
                },
                LABELS,
            ),
            ["encoder", "head"],
            id="partition",
        ),
        pytest.param(
            optax.chain(
                optax.clip(1.0),
                optax.partition(
                    {0: epoch_autodrop(0.1), 1: autodrop()}, {"x": 0, "y": 1}
                ),
            ),
            ["0", "1"],
            id="labels-that-are-numbers",
        ),
        pytest.param(
            optax.named_chain(("of_x", masked("x")), ("of_y", masked("y"))),
            ["of_x", "of_y"],
            id="named-chain",
        ),
        pytest.param(
            optax.chain(masked("x"), optax.sgd(0.1), masked("y")),
            ["0", "2"],
            id="positions",
        ),
        pytest.param(
            optax.chain(
                windowed_autodrop(0.1),
                optax.partition(
                    {"encoder": epoch_autodrop(0.1), "head": epoch_autodrop(0.1)},
                    LABELS,
                ),
            ),
            ["0", "1/encoder", "1/head"],
            id="labels-are-not-enough",
        ),
        pytest.param(
            optax.MultiSteps(
                optax.chain(masked("x"), masked("y")), 2
            ).gradient_transformation(),
            ["0", "1"],
            id="inside",
        ),
    ],
)
def test_with_several_states_the_keys_begin_with_where_each_is(optimizer, names):
    state = optimizer.init(PARAMS)
    for metrics in (autodrop_metrics(state), jax.jit(autodrop_metrics)(state)):
        assert sorted({key.rpartition("/")[0] for key in metrics}) == names
        assert all(float(metrics[f"{name}/num_drops"]) == 0 for name in names)
        first = f"{names[0]}/num_drops"
        with pytest.raises(KeyError, match=rf"'num_drops'.*several.*'{first}'"):
            metrics["num_drops"]


def test_they_are_a_pytree_like_any():
    optimizer = optax.chain(optax.sgd(0.1), epoch_autodrop(0.1))

    def epoch(carry, _):
        params, state = end_epoch(*carry)
        return (params, state), autodrop_metrics(state)

    _, stacked = jax.lax.scan(epoch, (PARAMS, optimizer.init(PARAMS)), length=4)
    assert list(stacked["epoch"]) == [1, 2, 3, 4]
    last = jax.tree.map(lambda x: x[-1], stacked)
    assert int(last["epoch"]) == 4
    assert list(last) == list(stacked)
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree.leaves_with_path(stacked)]
    assert paths[0] == "['learning_rate']"
    row = {"loss": 1.0, **stacked}
    assert type(stacked | {"loss": 1.0}) is dict
    assert set(row) == OF_EPOCHS | {"loss"}


FLOORS = [1e-5, 3e-4, 7e-3, 1 / 3]


@pytest.mark.parametrize("floor", FLOORS)
@pytest.mark.parametrize("method", ["epochs", "windows"])
def test_at_the_floor_the_rate_is_the_floor(method, floor):
    rates = {"drop_factor": 0.1, "min_learning_rate": floor}
    if method == "epochs":
        optimizer = epoch_autodrop(
            0.9, threshold=1.0, drop_delay=1, averaging=False, **rates
        )
    else:
        optimizer = windowed_autodrop(
            0.9, window_steps=1, buffer_size=1, threshold=1.0, **rates
        )
    x = jnp.zeros(1)
    state = optimizer.init(x)
    update, end = jax.jit(optimizer.update), jax.jit(end_epoch)
    seen = []
    for _ in range(30):  # a straight line
        _, state = update(x, state, x)
        x = x + 1.0
        if method == "epochs":
            x, state = end(x, state)
        seen.append(np.float32(autodrop_metrics(state)["learning_rate"]))
    assert seen[-1] == np.float32(floor)
    assert all(rate == np.float32(floor) or rate > 1.001 * floor for rate in seen)
