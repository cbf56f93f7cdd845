"""Whatever optax takes for parameters, each method takes."""

import dataclasses
import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from chains import EAGER
from flax import nnx
from slow import slow_but

from autodrop_optax import (
    autodrop,
    autodrop_eval_params,
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
    windowed_autodrop,
    with_epoch_autodrop,
)

WAYS = {
    "link": lambda: optax.chain(optax.sgd(0.1), epoch_autodrop(0.1, **EAGER)),
    "wrapper": lambda: with_epoch_autodrop(optax.sgd(0.1), 0.1, 1, **EAGER),
    "counting": lambda: optax.chain(
        optax.sgd(0.1),
        epoch_autodrop(0.1, steps_per_epoch=1, averaging=False, **EAGER),
    ),
    "windowed": lambda: optax.chain(
        optax.sgd(0.1),
        windowed_autodrop(0.1, window_steps=1, buffer_size=2, threshold=180.0),
    ),
    "autodrop": lambda: optax.chain(
        optax.sgd(0.1), autodrop(first_check=1, max_angle=1.0, patience=1)
    ),
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Module:
    """As one of Equinox, with what is not an array among its leaves."""

    weight: Any
    activation: Any
    size: int = dataclasses.field(metadata={"static": True}, default=3)


PARAMETERS = {
    "numbers": lambda: {"w": 1.0, "v": 2.0, "n": 3},
    "numpy": lambda: {"w": np.ones((2, 3)), "v": np.float32(2.0), "n": np.arange(3)},
    "a-number": lambda: 1.0,
    "module-with-none": lambda: Module(jnp.ones(3), None),
    "tuple-with-none": lambda: (jnp.ones(3), None, ()),
    "nnx-state": lambda: nnx.state(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), nnx.Param),
    "nnx-model": lambda: nnx.Linear(2, 3, rngs=nnx.Rngs(0)),
    "empty": lambda: {},
    "empty-array": lambda: {"w": jnp.ones((0, 3))},
}


# All with the default, and with each of the others what differs most.
TAKEN = {f"{kind}-{way}": (kind, way) for kind in PARAMETERS for way in WAYS}
FAST = [
    *(name for name, (_, way) in TAKEN.items() if way == "autodrop"),
    *("numbers-link", "numpy-wrapper", "numbers-counting", "numpy-windowed"),
    *("nnx-model-wrapper", "module-with-none-link", "empty-windowed"),
]


@pytest.mark.parametrize(("parameters", "way"), slow_but(TAKEN, *FAST))
@pytest.mark.usefixtures("standard_promotion")
def test_what_optax_takes(parameters, way):
    optimizer = WAYS[way]()
    params = PARAMETERS[parameters]()
    empty = not any(jnp.size(x) for x in jax.tree.leaves(params))
    structure = jax.tree.structure(params)
    dtypes = [jnp.result_type(x) for x in jax.tree.leaves(params)]
    state = optimizer.init(params)
    rng = np.random.default_rng(0)
    for _ in range(14):
        gradients = jax.tree.map(
            lambda x: jnp.asarray(rng.normal(size=jnp.shape(x))).astype(
                jnp.result_type(x)
            ),
            params,
        )
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        if way == "link":
            params, state = end_epoch(params, state)
    assert jax.tree.structure(params) == structure
    assert [x.dtype for x in jax.tree.leaves(params)] == dtypes
    drops = int(autodrop_metrics(state)["num_drops"])
    assert drops == 0 if empty else drops >= 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        pytest.param(
            Module(jnp.ones(3), jax.nn.relu),
            r"custom_jvp at \.activation, which is no array.*eqx\.filter\(model",
            id="function",
        ),
        pytest.param(
            {"w": jnp.ones(3), "name": "layer"}, r"a str at \['name'\]", id="text"
        ),
    ],
)
def test_what_is_no_array(params, message):
    trained = {"w": jnp.ones(3), "name": jnp.ones(2)}
    calls = [
        lambda: end_epoch(params, epoch_autodrop(0.1).init(trained)),
        lambda: autodrop_eval_params(autodrop().init(trained), params),
    ]
    if isinstance(params, Module):
        trained, calls = Module(jnp.ones(3), None), []
    for link in (epoch_autodrop(0.1), windowed_autodrop(0.1), autodrop()):
        calls.append(functools.partial(link.init, params))
    for link in (windowed_autodrop(0.1), autodrop()):
        state = link.init(trained)
        calls.append(functools.partial(link.update, trained, state, params))
    for call in calls:
        with pytest.raises(ValueError, match=message):
            call()


def test_a_model_with_what_is_no_array():
    """The end of an epoch and the evaluation take it whole."""
    model = Module(jnp.ones(3), jax.nn.relu)
    trained = Module(model.weight, None)
    after, _ = end_epoch(model, epoch_autodrop(0.1).init(trained))
    average = autodrop_eval_params(autodrop().init(trained), model)
    assert after.activation is average.activation is jax.nn.relu
    np.testing.assert_array_equal(after.weight, model.weight)


@pytest.mark.usefixtures("standard_promotion")
def test_a_model_of_nnx_where_its_parameters_are_meant():
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, WAYS["link"](), wrt=nnx.Param)
    for params in (model, nnx.state(model, nnx.Param)):
        with pytest.raises(ValueError, match=re.escape("use autodrop_optax.flax")):
            end_epoch(params, optimizer.opt_state)
