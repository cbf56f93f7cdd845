"""The optimizers, each a small function of its learning rate."""

import functools
from collections.abc import Callable
from typing import Literal

import optax

LearningRate = float | optax.Schedule


def sgd(
    learning_rate: LearningRate,
    momentum: float,
    weight_decay: float,
    *,
    nesterov: bool = False,
) -> optax.GradientTransformation:
    """SGD with heavy-ball momentum or Nesterov's, and an l2 penalty."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.sgd(learning_rate, momentum=momentum, nesterov=nesterov),
    )


def adamw(
    learning_rate: LearningRate, momentum: float, weight_decay: float
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay; the momentum is its b1."""
    return optax.adamw(learning_rate, b1=momentum, weight_decay=weight_decay)


OPTIMIZERS: dict[
    str, Callable[[LearningRate, float, float], optax.GradientTransformation]
] = {"sgd": sgd, "nesterov": functools.partial(sgd, nesterov=True), "adamw": adamw}


def norm_of(optimizer: str) -> Literal["l1", "l2"]:
    """The norm of the gradients that an optimizer's schedule is refined by."""
    return "l1" if optimizer == "adamw" else "l2"
