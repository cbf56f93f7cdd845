"""The mistakes that a person makes first, and set-ups that are none.

Beside each mistake stand the words that its message must have.
"""

import re

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from slow import slow_but

import autodrop_optax.flax as of_nnx
from autodrop_optax import (
    autodrop,
    autodrop_eval_params,
    autodrop_metrics,
    autodrop_restart,
    end_epoch,
    epoch_autodrop,
    windowed_autodrop,
    with_epoch_autodrop,
)
from autodrop_optax.flax import linen as of_linen
from autodrop_optax.plot import plot_history

pytestmark = pytest.mark.usefixtures("standard_promotion")

PARAMS = {"w": jnp.ones(3), "v": jnp.ones(2)}
OPTIMIZER = optax.chain(optax.sgd(0.1), autodrop())
STATE = OPTIMIZER.init(PARAMS)
NEVER_ENDED = epoch_autodrop(0.1).init(PARAMS)
OLD_STATE = optax.adam(0.1).init(PARAMS)  # of a run without AutoDrop


def replicated(tree):
    return jax.tree.map(lambda x: jnp.stack([x] * 4), tree)


def read_without_target(state):
    return [None, state[1]._asdict()]


def in_front_of(optimizer, make=autodrop):
    return optax.chain(make(), optimizer).init(PARAMS)


def groups():
    return optax.partition({"a": OPTIMIZER, "b": OPTIMIZER}, {"w": "a", "v": "b"})


def train_state():
    return TrainState.create(apply_fn=None, params=PARAMS, tx=OPTIMIZER)


MODEL = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
NNX_OPTIMIZER = nnx.Optimizer(MODEL, OPTIMIZER, wrt=nnx.Param)

MISTAKES = {
    # Constructors
    "a learning rate": (
        lambda: autodrop(0.1),
        "no learning rate", "optax.chain(optax.adamw(1e-3), autodrop())",
        "epoch_autodrop(0.1)",
    ),
    "a learning rate by name": (
        lambda: autodrop(learning_rate=0.1),
        "'learning_rate'", "no learning rate", "epoch_autodrop",
    ),
    "an option of the published method": (
        lambda: autodrop(threshold=0.01),
        "'threshold'", "epoch_autodrop",
    ),
    "an optimizer to wrap": (
        lambda: autodrop(optax.sgd(0.1)),
        "optax.chain(optax.adamw(1e-3), autodrop())",
    ),
    # init and update
    "a Python integer as a parameter": (
        lambda: autodrop().init({"w": 2}), "int32", "floating point",
    ),
    "params in place of the state": (
        lambda: autodrop().update(PARAMS, PARAMS, STATE[1]),
        "got a dict", "update(updates, state, params)",
    ),
    "the state of another method": (
        lambda: autodrop().update(PARAMS, epoch_autodrop(0.1).init(PARAMS), PARAMS),
        "EpochAutoDropState", "optimizer.init(params)",
    ),
    **{f"a replicated state, {link.__name__}": (
        lambda link=link: link(0.1).update(
            replicated(PARAMS), replicated(link(0.1).init(PARAMS)), replicated(PARAMS)
        ),
        "leading axis of 4", "jax.tree.map(lambda x: x[0], tree)",
    ) for link in (epoch_autodrop, windowed_autodrop)},
    "a replicated state": (
        lambda: OPTIMIZER.update(
            replicated(PARAMS), replicated(STATE), replicated(PARAMS)
        ),
        "leading axis of 4", "jax.tree.map(lambda x: x[0], tree)",
    ),
    "a state read without a target": (
        lambda: autodrop().update(PARAMS, STATE[1]._asdict(), PARAMS),
        "got a dict", "optimizer.init(params)", "as target",
    ),
    # Metrics, evaluation, restart, end of an epoch
    "in front of Adam": (
        lambda: autodrop_metrics(in_front_of(optax.adam(0.1))),
        "cancels any scaling", "ScaleByAdamState", "Put it last",
    ),
    "in front of Lion behind clipping, with a warm-up": (
        lambda: autodrop_metrics(in_front_of(
            optax.chain(optax.clip(1.0), optax.lion(lambda i: 0.1)),
            lambda: epoch_autodrop(0.1),
        )),
        "ScaleByLionState", "Put it last",
    ),
    "in front of Adam within a group": (
        lambda: autodrop_metrics(optax.partition(
            {"a": optax.chain(autodrop(), optax.adam(0.1)), "b": OPTIMIZER},
            {"w": "a", "v": "b"},
        ).init(PARAMS)),
        "ScaleByAdamState", "Put it last",
    ),
    "in front of Adam, with NNX": (
        lambda: of_nnx.autodrop_metrics(nnx.Optimizer(
            MODEL, optax.chain(autodrop(), optax.adam(0.1)), wrt=nnx.Param
        )),
        "ScaleByAdamState", "Put it last",
    ),
    "the optimizer in place of its state": (
        lambda: autodrop_metrics(OPTIMIZER), "optimizer.init(params)",
    ),
    "a state without AutoDrop": (
        lambda: autodrop_metrics(OLD_STATE), "optax.chain(optimizer, autodrop())",
    ),
    "a checkpoint read without a target": (
        lambda: autodrop_metrics(read_without_target(STATE)),
        "plain dictionary", "checkpointer.restore(path, target)",
    ),
    "swapped, autodrop_eval_params": (
        lambda: autodrop_eval_params(PARAMS, STATE),
        "swapped", "autodrop_eval_params(opt_state, params)",
    ),
    "swapped, autodrop_restart": (
        lambda: autodrop_restart(PARAMS, STATE),
        "swapped", "autodrop_restart(opt_state, params)",
    ),
    "swapped, end_epoch": (
        lambda: end_epoch(epoch_autodrop(0.1).init(PARAMS), PARAMS),
        "swapped", "end_epoch(params, opt_state)",
    ),
    "end_epoch of a method without epochs": (
        lambda: end_epoch(PARAMS, STATE), "no epochs", "Leave end_epoch out",
    ),
    "a link whose epochs nobody ends": (
        lambda: plot_history({"run": [autodrop_metrics(NEVER_ENDED)] * 3}),
        "no finished epoch", "params, opt_state = end_epoch(params, opt_state)",
    ),
    "a replicated state and one copy of the parameters": (
        lambda: autodrop_eval_params(replicated(STATE), PARAMS),
        "leading axis of 4", "jax.tree.map(lambda x: x[0], tree)",
    ),
    "a group's metric without its path": (
        lambda: autodrop_metrics(groups().init(PARAMS))["scale"],
        "'a/scale'", "'b/scale'",
    ),
    # The wrong package's function
    "nnx.Optimizer in optax's evaluation": (
        lambda: autodrop_eval_params(NNX_OPTIMIZER, MODEL),
        "autodrop_optax.flax", "eval_model(model, optimizer)",
    ),
    "nnx.Optimizer in optax's restart": (
        lambda: autodrop_restart(NNX_OPTIMIZER.opt_state, factor=0.5),
        "in place", "autodrop_restart(optimizer, ...) of autodrop_optax.flax",
    ),
    "an NNX model in optax's end_epoch": (
        lambda: end_epoch(MODEL, epoch_autodrop(0.1).init(PARAMS)),
        "autodrop_optax.flax",
    ),
    "swapped, eval_model": (
        lambda: of_nnx.eval_model(NNX_OPTIMIZER, MODEL),
        "got a Linear", "eval_model(model, optimizer)",
    ),
    "optax's state in NNX's function": (
        lambda: of_nnx.autodrop_metrics(STATE),
        "An nnx.Optimizer is needed, got a tuple", "of autodrop_optax",
    ),
    "optax's state in Linen's function": (
        lambda: of_linen.eval_state(STATE),
        "A TrainState is needed, got a tuple", "of autodrop_optax",
    ),
    "TrainState in place of its params": (
        lambda: autodrop_eval_params(train_state().opt_state, train_state()),
        "state.params",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_the_message_names_the_remedy(name):
    mistake, *words = MISTAKES[name]
    with pytest.raises((TypeError, ValueError, KeyError, UserWarning)) as caught:
        mistake()
    message = re.sub(r"\s+", " ", str(caught.value))
    for word in words:
        assert word in message
    assert len(message) < 600  # and not a tree of the whole state


def test_an_equinox_model_in_place_of_its_arrays():
    eqx = pytest.importorskip("equinox")
    model = eqx.nn.MLP(2, 2, 4, 1, key=jax.random.key(0))
    remedy = r"\.activation.*eqx\.filter\(model, eqx\.is_inexact_array\)"
    with pytest.raises(ValueError, match=remedy):
        autodrop().init(model)
    params = eqx.filter(model, eqx.is_inexact_array)
    state = autodrop().init(params)
    with pytest.raises(ValueError, match=remedy):
        autodrop().update(params, state, model)
    average = autodrop_eval_params(state, model)  # which takes it as it is
    assert average.activation is model.activation
    assert (average.layers[0].weight == model.layers[0].weight).all()


def masked():
    hidden = {"w": True, "v": False}
    others = {"w": False, "v": True}
    return optax.chain(
        optax.masked(autodrop(), hidden), optax.masked(optax.adam(0.1), others)
    )


SOUND = {
    "sgd behind it": lambda: optax.chain(autodrop(), optax.sgd(0.1, momentum=0.9)),
    "adam before it, in chains of chains": lambda: optax.chain(
        optax.chain(optax.clip(1.0), optax.adam(0.1)), optax.chain(autodrop())
    ),
    "adam behind it on other parameters": masked,
    "partition": groups,
    "MultiSteps inside": lambda: optax.chain(
        optax.MultiSteps(optax.adam(0.1), 2).gradient_transformation(), autodrop()
    ),
    "MultiSteps outside": lambda: optax.MultiSteps(
        optax.chain(optax.adam(0.1), autodrop()), 2
    ).gradient_transformation(),
    "apply_if_finite": lambda: optax.apply_if_finite(
        optax.chain(optax.adam(0.1), autodrop()), 3
    ),
    "inject_hyperparams": lambda: optax.inject_hyperparams(
        lambda rate: optax.chain(optax.adam(rate), autodrop())
    )(0.1),
    "inject_hyperparams of its own": lambda: optax.chain(
        optax.adam(0.1), optax.inject_hyperparams(autodrop)(drop_factor=0.5)
    ),
    "a chain with names": lambda: optax.named_chain(
        ("adam", optax.adam(0.1)), ("autodrop", autodrop())
    ),
}


NO_ALARM = {
    f"{name}, {'Python numbers' if numbers else 'arrays'}": (name, numbers)
    for name in SOUND
    for numbers in (False, True)
}
FAST = [name for name in NO_ALARM if name.endswith("arrays")]


@pytest.mark.parametrize(
    ("name", "numbers"),
    slow_but(NO_ALARM, *FAST, "inject_hyperparams, Python numbers"),
)
def test_no_false_alarm(name, numbers):
    params = {"w": 2.0, "v": 1.0} if numbers else PARAMS
    optimizer = SOUND[name]()
    state = optimizer.init(params)
    _, state = jax.jit(optimizer.update)(params, state, params)
    metrics = autodrop_metrics(state)
    assert {float(v) for k, v in metrics.items() if k.endswith("scale")} == {1.0}
    average = autodrop_eval_params(state, params)
    assert jax.tree.structure(average) == jax.tree.structure(params)
    dropped = autodrop_metrics(autodrop_restart(state, factor=0.5))
    assert {float(v) for k, v in dropped.items() if k.endswith("scale")} == {0.5}


def scale_of(state):
    return float(autodrop_metrics(state)["scale"])


def two_networks():
    return STATE, OLD_STATE


def stacked_by_vmap():
    keys = jnp.arange(4.0)
    return jax.vmap(lambda x: OPTIMIZER.init({"w": x}))(keys)


HOLDERS = {
    "TrainState": lambda: scale_of(train_state()),
    "TrainState, linen's": lambda: float(
        of_linen.autodrop_metrics(train_state())["scale"]
    ),
    "nnx.Optimizer": lambda: scale_of(NNX_OPTIMIZER),
    "the state of an nnx.Optimizer": lambda: scale_of(NNX_OPTIMIZER.opt_state),
    "nnx.Optimizer, NNX's": lambda: float(
        of_nnx.autodrop_metrics(NNX_OPTIMIZER)["scale"]
    ),
    "the states of two networks": lambda: scale_of(two_networks()),
    "with_epoch_autodrop": lambda: 10 * float(
        autodrop_metrics(
            with_epoch_autodrop(optax.adam(0.1), 0.1, 5).init(PARAMS)
        )["learning_rate"]
    ),
    "stacked": lambda: float(autodrop_metrics(stacked_by_vmap())["scale"].mean()),
}  # fmt: skip


@pytest.mark.parametrize("name", HOLDERS)
def test_no_false_alarm_of_what_holds_the_state(name):
    assert HOLDERS[name]() == pytest.approx(1.0)
